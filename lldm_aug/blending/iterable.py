"""Synthetic cases in any iterable PyTorch data set: as a wrapper around it, or mixed into its class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, TypeVar

from torch.utils.data import IterableDataset, get_worker_info

from lldm_aug.blending.blend import Blend
from lldm_aug.blending.ratio import synthetic_between
from lldm_aug.errors import ConfigError
from lldm_aug.seeds import derive_seed

T = TypeVar("T")


class SyntheticIterable(Blend[T], IterableDataset[T]):
    """A stream of real items in which a fraction of the items are cases of a pool.

    With ``replace`` the stream is as long as the real one: a synthetic item takes the place of a real one, which is
    read and left out. With ``add`` every real item comes, in its order, and r / (1 - r) synthetic ones for each real
    one are put between, r being the ratio. The length of the stream need not be known. At any moment the number of
    synthetic items is less than one off.

    Each data-loading worker reads its own part of the real stream, if that stream deals itself out to workers (one that
    does not is repeated by each worker, blended or not). What is drawn is a pure function of (seed, stream, worker,
    epoch, place in the worker's part): it is the same again with the same number of workers, and differs between
    workers.

    Examples:
        A wrapper, and a mix-in::

            SyntheticIterable(stream, pool="pools/x", ratio=0.5, convert=to_sample)
            class Blended(SyntheticIterable, LiverStream): ...

    Args:
        *args: the data set to wrap; of a class that it is mixed into, that class's own arguments.
        stream: number of this process's stream, such as its rank, if every process reads a *part* of the data. Leave it
            at 0 where each process reads everything and picks its items, as after ``accelerator.prepare``.
        pool: as for `SyntheticMixin`.
        **kwargs: the other arguments of `SyntheticMixin`, and those of a class that it is mixed into.

    Raises:
        ConfigError: as `SyntheticMixin`; for a map-style data set; for a ratio of 1 with ``add``.
        PoolError: as `PoolDataset`.
    """

    _reads = "__iter__"

    def __init__(self, *args: Any, stream: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.blend_stream = stream

    def __iter__(self) -> Iterator[T]:
        worker = get_worker_info()
        epoch, numbers = self.epoch, count()
        stream = derive_seed("stream", self.blend_seed, self.blend_stream, worker.id if worker else 0)
        for place, item in enumerate(self._real.__iter__()):
            synthetic = synthetic_between(stream, epoch, place, place + 1, self._rate)
            for _ in range(synthetic):
                yield self._synthetic_item(self.choose(stream, epoch, next(numbers)))
            if self.mode == "add" or not synthetic:
                yield item

    def __len__(self) -> int:
        length = getattr(self._real, "__len__", None)
        if self.mode == "add" or length is None:
            raise TypeError("the length of this stream is known only at its end")
        return int(length())

    @classmethod
    def _check_kind(cls, real: tuple[type, ...]) -> None:
        if not any("__iter__" in vars(base) for base in real):
            raise ConfigError("it is no iterable data set", where=real[0].__name__, fix="use SyntheticMixin")
