"""Whether images show what their masks say: the Dice of a referee that segments them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.metrics.dice import dice
from lldm_aug.synthesis.referee import Referee


@dataclass(frozen=True)
class RefereeScore:
    """Dice of a referee on one case.

    Args:
        dice: by structure; NaN where neither mask nor referee has it, 0 where only one has.
        present: structures that the mask holds.
    """

    dice: dict[str, float]
    present: frozenset[str]


@dataclass(frozen=True)
class StructureScore:
    """Dice of one structure over cases.

    Args:
        mean: over the cases whose mask holds it; NaN without any.
        cases: how many those are.
        absent: cases whose mask lacks it.
        false_alarms: those of them in which the referee saw it nevertheless.
    """

    mean: float
    cases: int
    absent: int
    false_alarms: int


def referee_score(referee: Referee, case: ConformedCase, schema: LabelSchema) -> RefereeScore:
    """Segments a case and compares with its mask."""
    return score(segmentation(referee, case, schema), case, schema)


def segmentation(referee: Referee, case: ConformedCase, schema: LabelSchema) -> np.ndarray:
    """(X, Y, Z) int16: what a referee finds in a case, in the masks' schema."""
    return Relabelling(referee.schema, schema).apply(referee.segment(case.raw, case.grid))


def score(found: np.ndarray, case: ConformedCase, schema: LabelSchema) -> RefereeScore:
    """How well a segmentation (X, Y, Z) agrees with a case's mask."""
    scores = dice(found, case.label, schema)
    return RefereeScore(scores, frozenset(name for name, value in schema.values.items() if (case.label == value).any()))


def structure_score(scores: Sequence[RefereeScore], structure: str) -> StructureScore:
    """One structure over cases: empty ones are counted beside the mean, not dropped unseen."""
    held = [score.dice[structure] for score in scores if structure in score.present]
    absent = [score.dice[structure] for score in scores if structure not in score.present]
    alarms = sum(1 for value in absent if value == 0)
    return StructureScore(float(np.mean(held)) if held else float("nan"), len(held), len(absent), alarms)
