"""nnU-Net's loader with an exact share of synthetic cases in every batch, and its place in nnU-Net's code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from lldm_aug.blending.ratio import synthetic_slots
from lldm_aug.errors import TrainingError
from lldm_aug.seeds import numpy_rng
from nnunet_integration.dataset import BlendedDataset

LOADER_NAME = "nnUNetDataLoader"


class BlendedDataLoader(nnUNetDataLoader):
    """Chooses the cases of a batch; all else is nnU-Net's.

    The choice is seeded by (seed, rank, start epoch, worker): the same for the same worker of the same run. nnU-Net's
    own random crops and transforms are not seeded.
    """

    _rng: np.random.Generator | None = None

    def get_indices(self) -> list[str]:
        """Keys of a batch: floor(B * ratio + U(0, 1)) synthetic cases in random slots, each kind drawn uniformly."""
        data: BlendedDataset = self._data
        blend = data.blend
        data.renew()
        if self._rng is None:  # only now, in the worker, is the worker's number known
            self._rng = numpy_rng("nnU-Net blend", blend.seed, blend.rank, blend.start_epoch, int(self.thread_id))
        slots = synthetic_slots(self.batch_size, blend.ratio, self._rng)
        kinds = (data.synthetic_keys if synthetic else data.real_keys for synthetic in slots)
        return [keys[self._rng.integers(len(keys))] for keys in kinds]


class MadeLoaders:
    """The blended loaders that were made inside `blended_loader`."""

    def __init__(self) -> None:
        self.count = 0

    def check(self, expected: int) -> None:
        """Raises TrainingError when another number was made: then nnU-Net has changed, and nothing was blended."""
        if self.count != expected:
            raise TrainingError(
                f"nnU-Net made {self.count} blended loaders instead of {expected}",
                fix="use nnunetv2 2.8, or report this with your version",
            )


@contextmanager
def blended_loader(trainer: type) -> Iterator[MadeLoaders]:
    """Lets nnU-Net's own ``get_dataloaders`` make a `BlendedDataLoader` for a `BlendedDataset`.

    ``get_dataloaders`` names its loader class as a global of its module; that name is replaced for as long as it runs,
    so that not a line of it has to be copied. The same goes for the overrides in other modules.

    Args:
        trainer: class of the trainer whose method will be called.

    Yields:
        A counter to check afterwards.

    Raises:
        TrainingError: when no such method names a loader.
    """
    methods = [vars(base)["get_dataloaders"] for base in trainer.__mro__ if "get_dataloaders" in vars(base)]
    modules = [names for method in methods if LOADER_NAME in (names := inspect.unwrap(method).__globals__)]
    if not modules:
        raise TrainingError(f"{trainer.__name__} does not use {LOADER_NAME}", fix="blend a trainer that does")
    originals, made = [names[LOADER_NAME] for names in modules], MadeLoaders()
    try:
        for names, original in zip(modules, originals, strict=True):
            names[LOADER_NAME] = partial(_make, original, made)
        yield made
    finally:
        for names, original in zip(modules, originals, strict=True):
            names[LOADER_NAME] = original


def _make(original: Callable[..., Any], made: MadeLoaders, data: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(data, BlendedDataset):
        return original(data, *args, **kwargs)
    made.count += 1
    return BlendedDataLoader(data, *args, **kwargs)
