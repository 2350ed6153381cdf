"""Real and synthetic cases behind nnU-Net's data set interface."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.schedule import Schedule
from lldm_aug.errors import PoolError
from lldm_aug.seeds import derive_seed
from nnunet_integration.offer import read_offer

PREFIX = "lldm_aug/"
"""Marks synthetic identifiers; a case's file name cannot hold a slash, so no real one begins like this."""


@dataclass(frozen=True)
class Blend:
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

    def __init__(self, real: Any, synthetic: Any, blend: Blend, offers: Path | None = None) -> None:
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
