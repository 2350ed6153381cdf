"""Synthetic cases for any map-style PyTorch data set: as a wrapper around it, or mixed into its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lldm_aug.blending.blend import Blend
from lldm_aug.blending.ratio import added_items, interleave, is_synthetic
from lldm_aug.errors import ConfigError

T = TypeVar("T")


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


class SyntheticMixin(Blend[T]):
    """A map-style data set in which a fraction of the items are cases of a pool.

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
        ratio: fraction of synthetic items, 0 to 1.
        seed: seed of the blend.
        mode: ``replace`` keeps the length, ``add`` keeps every real item once an epoch and puts synthetic ones between.
        convert: function that turns a pool's `Case` into the kind of sample that the real data set gives
            (`lldm_aug.blending.convert` has some); without it, a sample is a dictionary.
        **kwargs: further arguments of a class that it is mixed into.

    Raises:
        ConfigError: for a ratio outside 0..1, an unknown mode, a ``convert`` that is no function, nothing to wrap, or
            an iterable data set.
        PoolError: as `PoolDataset`.
    """

    _reads = "__getitem__"

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def lengths(self) -> tuple[int, int]:
        """How many real items there are, and how many synthetic ones are added to them."""
        real = int(self._real.__len__())
        return real, added_items(real, self.ratio) if self.mode == "add" else 0

    def __getitem__(self, index: int | Draw) -> T:
        return self.apply(index if isinstance(index, Draw) else self.draw(index))

    def __getitems__(self, indices: Sequence[int | Draw]) -> list[T]:
        """A batch of items. Without this a data loader would call the method of the class behind, past the blend."""
        return [self[index] for index in indices]

    def draw(self, index: int) -> Draw:
        """Decides what an item of the current epoch is, without reading it.

        Raises:
            IndexError: beyond the data set's length.
        """
        real, added = self.lengths
        length = real + added
        index = index + length if index < 0 else index
        if not 0 <= index < length:
            raise IndexError(f"index {index} is outside 0..{length - 1}")
        epoch, seed = self.epoch, self.blend_seed
        if self.mode == "add":
            synthetic, source = interleave(seed, epoch, index, real, added)
        else:
            synthetic, source = is_synthetic(seed, epoch, index, self.ratio), index
        return Draw(epoch, index, synthetic, self.choose(epoch, index) if synthetic else source)

    def apply(self, draw: Draw) -> T:
        """Reads the item that a draw names."""
        item: T = self._synthetic_item(draw.source) if draw.synthetic else self._real.__getitem__(draw.source)
        return item

    @classmethod
    def _check_kind(cls, real: tuple[type, ...]) -> None:
        if any(base.__name__ == "IterableDataset" for base in real):
            raise ConfigError("an iterable data set has no items by index", fix="use SyntheticIterable")
