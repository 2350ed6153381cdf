"""Mask consistency: what a segmenter scores, and the empty structures that no mean may hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from pools import blob_case

from lldm_aug.evaluation.conformed_cases import ConformedCase
from lldm_aug.evaluation.measure.segmentation import segment, structure_dice
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema

SCHEMA = LabelSchema(("liver", "hcc"))


@dataclass(frozen=True)
class Painted:
    """A segmenter that gives one answer whatever it sees."""

    answer: np.ndarray
    schema: LabelSchema = SCHEMA

    def segment(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        """The answer."""
        assert image.shape[1:] == grid.shape
        return self.answer


def case(index=0, label=None):
    image, drawn = blob_case(0, index)
    label = drawn if label is None else label
    return ConformedCase("c", image[None], image[None], label, Grid.regular(label.shape, (2, 2, 3)))


def test_perfect_segmenter_scores_one():
    cases = [case(i) for i in range(3)]
    scores = [segment(Painted(c.label), c, SCHEMA) for c in cases]
    for name in SCHEMA.names:
        found = structure_dice(scores, name)
        assert (found.mean, found.cases, found.absent, found.false_alarms) == (1.0, 3, 0, 0)


def test_a_segmenter_may_find_more_in_another_order():
    schema = LabelSchema(("portal_vein", "hcc", "liver"))
    answer = np.array([0, 3, 2], dtype=np.int16)[case().label]
    answer[np.unravel_index(np.flatnonzero(answer == 3)[:20], answer.shape)] = 1  # vessels, which masks call liver
    assert segment(Painted(answer, schema), case(), SCHEMA).dice == {"liver": 1.0, "hcc": 1.0}


def test_missed_structure_scores_zero():
    c = case()
    found = structure_dice([segment(Painted(np.minimum(c.label, 1)), c, SCHEMA)], "hcc")
    assert (found.mean, found.cases) == (0.0, 1)


def test_half_of_a_structure():
    c = case()
    half = c.label.copy()
    half[: half.shape[0] // 2] = 0
    kept = (half == 1).sum() / (c.label == 1).sum()
    found = structure_dice([segment(Painted(half), c, SCHEMA)], "liver")
    assert found.mean == pytest.approx(2 * kept / (1 + kept))


def test_absent_structures_are_counted_and_false_alarms_too():
    healthy = np.minimum(case().label, 1)
    scores = [
        segment(Painted(case().label), case(label=healthy), SCHEMA),  # sees a tumour that is not there
        segment(Painted(healthy), case(label=healthy), SCHEMA),
        segment(Painted(case().label), case(), SCHEMA),
    ]
    found = structure_dice(scores, "hcc")
    assert (found.mean, found.cases, found.absent, found.false_alarms) == (1.0, 1, 2, 1)


def test_structure_that_no_mask_holds_has_no_mean():
    healthy = np.minimum(case().label, 1)
    assert np.isnan(structure_dice([segment(Painted(healthy), case(label=healthy), SCHEMA)], "hcc").mean)
