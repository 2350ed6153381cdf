"""Scoring what a network has found in the cases that a cell is judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lldm_aug.anatomy.declaration import find_anatomy
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.evaluation.utility.cell import Cell
from lldm_aug.evaluation.utility.plan import StudyPlan
from lldm_aug.metrics.score import StructureScore, score_case
from lldm_aug.volume import Volume

Found = Callable[[str, Volume], np.ndarray]
"""Gives the labels that were found in a case, on the grid of its true mask."""


def score_found(plan: StudyPlan, cell: Cell, found: Found) -> dict[str, tuple[StructureScore, ...]]:
    """Scores of all structures by case, on each case's own grid and in millimetres."""
    dataset, case_ids = plan.judged(cell.fold)
    unknown, lesions, scores = read_partial_labels(dataset), find_anatomy(plan.dataset).lesions, {}
    for case_id in case_ids:
        truth = dataset.load_label(case_id)
        scores[case_id] = score_case(
            found(case_id, truth),
            truth.data,
            dataset.schema,
            truth.grid.spacing_mm,
            plan.settings.tolerance_mm,
            unknown.get(case_id, ()),
            lesions=lesions,
        )
    return scores
