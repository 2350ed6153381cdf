"""Which case comes when, and how much of its mask is shown.

Pure functions of (seed, stage, position), so that restarts and processes change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lldm_aug.config.stages import AutoencoderTrainSettings, ConcatenatedTrainSettings, ControlNetTrainSettings
from lldm_aug.seeds import numpy_rng

DropSettings = AutoencoderTrainSettings | ControlNetTrainSettings | ConcatenatedTrainSettings
"""Shares of samples that lose the whole mask, and of structures that are lost."""


@dataclass(frozen=True)
class Row:
    """One sample of one step.

    Args:
        case_id: the case.
        step: the optimiser step.
        number: its number within the step's whole batch.
    """

    case_id: str
    step: int
    number: int


def batch_rows(
    case_ids: tuple[str, ...], seed: int, stage: str, step: int, batch_size: int, unlabelled: tuple[str, ...] = ()
) -> list[Row]:
    """The whole batch of a step: cases in shuffled order, each once before any comes again.

    Args:
        case_ids: cases to draw from.
        seed: of the run.
        stage: its name.
        step: the optimiser step.
        batch_size: rows of the whole batch.
        unlabelled: cases that every other row is taken from, in an order of their own, so that a few labelled cases
            neither drown among them nor are learnt by heart.
    """
    rows = []
    for number in range(batch_size):
        position = step * batch_size + number
        if not unlabelled:
            name = _name_at(case_ids, position, seed, stage, "order")
        elif position % 2 == 0:
            name = _name_at(case_ids, position // 2, seed, stage, "order")
        else:
            name = _name_at(unlabelled, position // 2, seed, stage, "order of the unlabelled")
        rows.append(Row(name, step, number))
    return rows


def _name_at(names: tuple[str, ...], position: int, seed: int, stage: str, purpose: str) -> str:
    epoch, place = divmod(position, len(names))
    return names[int(numpy_rng(seed, stage, purpose, epoch).permutation(len(names))[place])]


def kept_structures(
    structures: int, settings: DropSettings, seed: int, stage: str, rows: Sequence[Row]
) -> torch.Tensor:
    """Boolean (B, S): which structures of each row's mask the network is told of, so that it can do with less.

    A pure function of seed, stage and row.
    """
    return torch.from_numpy(np.stack([_kept(structures, settings, seed, stage, row) for row in rows]))


def _kept(structures: int, settings: DropSettings, seed: int, stage: str, row: Row) -> np.ndarray:
    rng = numpy_rng(seed, stage, "drop", row.step, row.number)
    kept = rng.random(structures) >= settings.drop_structure
    return np.asarray(kept & (rng.random() >= settings.drop_mask))
