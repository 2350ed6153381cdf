"""Dice against closed forms."""

import math

import numpy as np

from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import dice

SCHEMA = LabelSchema(("liver", "hcc"), ignore=3)


def test_overlap_of_shifted_boxes() -> None:
    a, b = np.zeros((10, 4, 4), int), np.zeros((10, 4, 4), int)
    a[0:6], b[3:9] = 1, 1
    assert dice(a, b, SCHEMA)["liver"] == 0.5


def test_both_empty_is_nothing_and_one_empty_is_zero() -> None:
    a, b = np.zeros((4, 4, 4), int), np.zeros((4, 4, 4), int)
    assert math.isnan(dice(a, b, SCHEMA)["hcc"])
    a[0, 0, 0] = 2
    assert dice(a, b, SCHEMA)["hcc"] == 0
    assert dice(b, a, SCHEMA)["hcc"] == 0


def test_ignored_voxels_do_not_count() -> None:
    a, b = np.ones((4, 4, 4), int), np.ones((4, 4, 4), int)
    b[:2] = 3
    assert dice(a, b, SCHEMA)["liver"] == 1
