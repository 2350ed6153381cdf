"""Batches with an exact number of synthetic items each, on one process or many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from lldm_aug.blending.mixin import Draw, SyntheticMixin
from lldm_aug.blending.ratio import scatter, synthetic_between
from lldm_aug.errors import ConfigError
from lldm_aug.seeds import numpy_rng


class BlendedBatchSampler(Sampler[list[Draw]]):
    """Deals out a blended data set in shuffled batches of B items, B * ratio of them synthetic (less than one off).

    Where B * ratio is not a whole number, a batch has floor(B * ratio + U) synthetic items, with U uniform in [0, 1).
    They lie in random slots. Batches are pure functions of (seed, epoch, number of the batch); the data set's
    `set_epoch` moves them on. They hold `Draw` in place of indices, so transforms that hand their index on to the data
    set may lie around it.

    No real item comes twice in an epoch. In mode ``replace`` an epoch has as many batches as the real items fill; in
    mode ``add`` it has as many as are needed for all real items. Items that fill no batch (on every process) are left
    to other epochs. All batches are full, so each process has equally many.

    Args:
        data: the blended data set, even when the loader reads it through transforms.
        batch_size: B, items in a batch.
        num_replicas: number of processes that share an epoch, if nothing else deals the batches out to them. Leave it
            at 1 with ``accelerator.prepare``, which deals them out itself (keep its ``split_batches`` off).
        rank: number of this process.

    Raises:
        ConfigError: for a batch size below 1, a rank that is not below the number of processes, or too few real items
            for a batch on each.
    """

    drop_last = True  # read by accelerate: it would fill the last round with items that it has dealt out already

    def __init__(self, data: SyntheticMixin[Any], batch_size: int, *, num_replicas: int = 1, rank: int = 0) -> None:
        if batch_size < 1:
            raise ConfigError(f"{batch_size} is no number of items", where="batch_size")
        if not 0 <= rank < num_replicas:
            raise ConfigError(f"{rank} is not between 0 and {num_replicas - 1}", where="rank")
        self.data = data
        self.batch_size = batch_size
        self.num_replicas = num_replicas
        self.rank = rank
        if len(self) == 0:
            raise ConfigError(
                f"{data.lengths[0]} real items fill no batch of {batch_size} on {num_replicas} process(es)"
            )

    def __len__(self) -> int:
        real, _ = self.data.lengths
        size, ratio = self.batch_size, self.data.ratio
        if self.data.mode == "replace":
            return real // size // self.num_replicas
        batches = int(real / (1 - ratio)) // size + 1
        while batches * size - math.floor(batches * size * ratio) > real:  # the most real items of any epoch's phase
            batches -= 1
        return batches // self.num_replicas

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch = self.data.epoch
        real, _ = self.data.lengths
        order = numpy_rng("order of real items", self.data.blend_seed, epoch).permutation(real)
        for turn in range(len(self)):
            yield self._batch(epoch, turn * self.num_replicas + self.rank, order)

    def _batch(self, epoch: int, number: int, order: np.ndarray) -> list[Draw]:
        data, start, stop = self.data, number * self.batch_size, (number + 1) * self.batch_size
        seed = data.blend_seed
        count = synthetic_between(seed, epoch, start, stop, data.ratio)
        dealt = start - synthetic_between(seed, epoch, 0, start, data.ratio)
        slots = scatter(count, self.batch_size, numpy_rng("slots", seed, epoch, number))
        real = iter(order[dealt:])
        return [
            Draw(epoch, place, synthetic=True, source=data.choose(epoch, place))
            if synthetic
            else Draw(epoch, place, synthetic=False, source=int(next(real)))
            for place, synthetic in enumerate(slots, start)
        ]
