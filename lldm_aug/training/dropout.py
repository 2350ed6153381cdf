"""What a network is told of a mask: now and then nothing, or not all, so that it can do with less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from lldm_aug.seeds import numpy_rng
from lldm_aug.training.order import Row


class DropSettings(Protocol):
    """Shares of samples and of structures that are withheld."""

    @property
    def drop_mask(self) -> float:
        """Share of samples that lose the whole mask."""

    @property
    def drop_structure(self) -> float:
        """Share of structures that are lost."""


def kept_structures(
    structures: int, settings: DropSettings, seed: int, stage: str, rows: Sequence[Row]
) -> torch.Tensor:
    """Boolean (B, S): which structures of each row the network is told of; a pure function of seed, stage and row."""
    return torch.from_numpy(np.stack([_kept(structures, settings, seed, stage, row) for row in rows]))


def _kept(structures: int, settings: DropSettings, seed: int, stage: str, row: Row) -> np.ndarray:
    rng = numpy_rng(seed, stage, "drop", row.step, row.number)
    kept = rng.random(structures) >= settings.drop_structure
    return np.asarray(kept & (rng.random() >= settings.drop_mask))
