"""Which case comes when: a pure function of (seed, stage, position), so that restarts and processes change nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lldm_aug.seeds import numpy_rng


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


def batch_rows(case_ids: tuple[str, ...], seed: int, stage: str, step: int, batch_size: int) -> list[Row]:
    """The whole batch of a step: cases in shuffled order, each once before any comes again."""
    rows = []
    for number in range(batch_size):
        epoch, place = divmod(step * batch_size + number, len(case_ids))
        order = numpy_rng(seed, stage, "order", epoch).permutation(len(case_ids))
        rows.append(Row(case_ids[order[place]], step, number))
    return rows
