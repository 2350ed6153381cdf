"""nnU-Net's loader with an exact share of synthetic cases in every batch, and its place in nnU-Net's code.

Real and synthetic cases stand behind nnU-Net's data set interface.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.ratio import synthetic_slots
from lldm_aug.blending.schedule import Schedule
from lldm_aug.errors import PoolError, TrainingError
from lldm_aug.seeds import derive_seed, numpy_rng
from nnunet_integration.offer import read_offer

PREFIX = "lldm_aug/"
"""Marks synthetic identifiers; a case's file name cannot hold a slash, so no real one begins like this."""


@dataclass(frozen=True)
class CaseBlend:
    """How cases are drawn.

    Args:
        schedule: share of synthetic cases in each epoch.
        seed: seed of the choice.
        rank: rank of the process in distributed training.
        start_epoch: epoch at which the training was begun or continued.
        epoch: the current epoch, also in workers that are running already. They draw ahead, as many batches as nnU-Net
            queues (some 15 for 2 workers, 57 for 28): those that wait when an epoch begins have the ratio of the last.
    """

    schedule: Schedule
    seed: int
    rank: int = 0
    start_epoch: int = 0
    epoch: SharedEpoch = field(default_factory=SharedEpoch)

    @property
    def ratio(self) -> float:
        """Share of synthetic cases in the current epoch."""
        return self.schedule.ratio(self.epoch.get())


class BlendedDataset:
    """What nnU-Net's loader asks of a data set (``identifiers``, ``load_case``), over two of nnU-Net's own.

    Args:
        real: the real training cases.
        synthetic: the prepared synthetic cases.
        blend: how the loader draws from both.
        offers: folder of the offers (see `nnunet_integration.offer`) if the synthetic cases change from epoch to epoch.
    """

    def __init__(self, real: Any, synthetic: Any, blend: CaseBlend, offers: Path | None = None) -> None:
        self.real = real
        self.synthetic = synthetic
        self.blend = blend
        self.offers = offers
        self._offered_epoch = blend.epoch.get()
        self.real_keys: list[str] = list(real.identifiers)
        self.synthetic_keys = [PREFIX + name for name in synthetic.identifiers]

    def renew(self) -> None:
        """Takes up what was offered, once an epoch; called in workers, too."""
        epoch = self.blend.epoch.get()
        if self.offers is not None and epoch != self._offered_epoch:
            self.synthetic_keys = [PREFIX + name for name in read_offer(self.offers)]
            self._offered_epoch = epoch

    @property
    def identifiers(self) -> list[str]:
        """All keys, real ones first."""
        return self.real_keys + self.synthetic_keys

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Image (C, Z, Y, X), mask (1, Z, Y, X), previous stage's mask (Z, Y, X) or None, properties; read lazily."""
        if not identifier.startswith(PREFIX):
            real: tuple[Any, Any, Any, dict[str, Any]] = self.real.load_case(identifier)
            return real
        name = identifier.removeprefix(PREFIX)
        try:
            synthetic: tuple[Any, Any, Any, dict[str, Any]] = self.synthetic.load_case(name)
        except FileNotFoundError:
            if self.offers is None:
                raise
            synthetic = self._another(name)
        return synthetic

    def _another(self, gone: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """A case in the place of one whose files went, or are just going, while a long epoch still drew it."""
        names = [key.removeprefix(PREFIX) for key in self.synthetic_keys if key != PREFIX + gone]
        first = derive_seed("another case", gone) % max(1, len(names))
        for name in names[first:] + names[:first]:
            with suppress(FileNotFoundError):
                case: tuple[Any, Any, Any, dict[str, Any]] = self.synthetic.load_case(name)
                return case
        raise PoolError(
            f"all cases of epoch {self._offered_epoch} are gone, such as {gone}",
            where=self.synthetic.source_folder,
            fix="go on with --c; give 'lldm-aug nnunet prepare --follow' a --grace longer than an epoch",
        )

    def __getitem__(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        return self.load_case(identifier)


def is_synthetic(key: str) -> bool:
    """Whether a key of a batch names a synthetic case."""
    return key.startswith(PREFIX)


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
