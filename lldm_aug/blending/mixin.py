"""Synthetic cases for any map-style PyTorch data set: as a wrapper around it, or mixed into its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.ratio import added_items, check_ratio, interleave, is_synthetic
from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.seeds import derive_seed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Mode = Literal["replace", "add"]


class MapStyle(Protocol[T_co]):
    """Whatever has a length and items by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


@dataclass(frozen=True)
class Draw:
    """What one index of a blended data set stands for in one epoch.

    Args:
        epoch: the epoch.
        index: the index that was asked for.
        synthetic: whether it is a case of the pool.
        source: index in the pool, or in the real data set.
    """

    epoch: int
    index: int
    synthetic: bool
    source: int


def as_dictionary(case: Case) -> dict[str, Any]:
    """The default sample: image (C, X, Y, Z) float32, label (1, X, Y, Z) int16, affine (4, 4), case_id."""
    return {"image": case.image, "label": case.label[None], "affine": case.grid.affine, "case_id": case.case_id}


class SyntheticMixin(Generic[T]):
    """A map-style data set in which a share of the items are cases of a pool.

    Which items are synthetic, and which cases they are, is a pure function of (seed, epoch, index): the number of
    workers, their start method and the order of access change nothing. Call `set_epoch` before each epoch.
    Put random transforms *around* it, so that real and synthetic items are augmented alike.

    Examples:
        A wrapper::

            SyntheticMixin(real, pool="pools/x", ratio=0.5, convert=to_sample)

        A mix-in, whose other arguments are those of the data set's class::

            class Blended(SyntheticMixin, LiverDataset): ...
            Blended("data/", pool="pools/x", ratio=0.5, convert=to_sample)

    Args:
        *args: the data set to wrap; of a class that it is mixed into, that class's own arguments.
        pool: folder of a pool, or a map-style data set of `Case`.
        ratio: share of synthetic items.
        seed: seed of the blend.
        mode: ``replace`` keeps the length, ``add`` keeps every real item once an epoch and puts synthetic ones between.
        convert: turns a pool's `Case` into the real data set's kind of sample; a dictionary by default.
        **kwargs: further arguments of a class that it is mixed into.

    Raises:
        ConfigError: for a ratio outside 0..1, an unknown mode, or nothing to wrap.
        PoolError: as `PoolDataset`.
    """

    def __init__(
        self,
        *args: Any,
        pool: str | Path | MapStyle[Case],
        ratio: float = 0.5,
        seed: int = 0,
        mode: Mode = "replace",
        convert: Callable[[Case], Any] = as_dictionary,
        **kwargs: Any,
    ) -> None:
        self._wrapped: MapStyle[T] | None = None
        if self._is_mixed_in():
            super().__init__(*args, **kwargs)
        elif len(args) == 1 and not kwargs:
            self._wrapped = args[0]
        else:
            raise ConfigError("SyntheticMixin needs one data set to wrap, or a class to be mixed into")
        if mode not in ("replace", "add"):
            raise ConfigError(f"mode {mode!r} is neither 'replace' nor 'add'")
        self.pool = PoolDataset(pool) if isinstance(pool, (str, Path)) else pool
        self.ratio = check_ratio(ratio)
        self.blend_seed = seed
        self.mode = mode
        self.convert = convert
        self._added = added_items(self._real_length(), self.ratio) if mode == "add" else 0
        self._epoch = SharedEpoch()

    @property
    def epoch(self) -> int:
        """The current epoch, also in workers that are already running."""
        return self._epoch.get()

    def set_epoch(self, epoch: int) -> None:
        """Moves on to an epoch, in all workers."""
        self._epoch.set(epoch)

    def __len__(self) -> int:
        return self._real_length() + self._added

    def __getitem__(self, index: int) -> T:
        return self.apply(self.draw(index))

    def draw(self, index: int) -> Draw:
        """Decides what an item of the current epoch is, without reading it.

        Raises:
            IndexError: beyond the data set's length.
        """
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0..{len(self) - 1}")
        epoch, seed = self.epoch, self.blend_seed
        if self.mode == "add":
            synthetic, source = interleave(seed, epoch, index, self._real_length(), self._added)
        else:
            synthetic, source = is_synthetic(seed, epoch, index, self.ratio), index
        if synthetic:
            source = derive_seed("synthetic case", seed, epoch, index) % len(self.pool)
        return Draw(epoch, index, synthetic, source)

    def apply(self, draw: Draw) -> T:
        """Reads the item that a draw names."""
        if draw.synthetic:
            sample: T = self.convert(self.pool[draw.source])
            return sample
        return self._real_item(draw.source)

    @classmethod
    def _is_mixed_in(cls) -> bool:
        behind = cls.__mro__[cls.__mro__.index(SyntheticMixin) + 1 :]
        return any("__getitem__" in vars(base) for base in behind)

    def _real_length(self) -> int:
        return len(self._wrapped) if self._wrapped is not None else super().__len__()  # type: ignore[misc]

    def _real_item(self, index: int) -> T:
        item: T = self._wrapped[index] if self._wrapped is not None else super().__getitem__(index)  # type: ignore[misc]
        return item
