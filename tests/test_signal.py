"""Signal of structures: shifts in units of real voxels, and liver against vessels."""

from __future__ import annotations

import numpy as np
import pytest

from lldm_aug.data.structure_signal import case_signal
from lldm_aug.evaluation.measure.contents import liver_to_vessel, signal_shift
from lldm_aug.labels import HBP, LabelSchema

LABEL = np.zeros((12, 12, 12), np.int16)
LABEL[:6], LABEL[6:9], LABEL[9:11] = 1, 2, 3


def cases(mean, deviation, n=6, seed=0, label=LABEL):
    rng = np.random.default_rng(seed)
    images = [rng.normal(mean + 0.1 * i, deviation, (1, *label.shape)) for i in range(n)]
    return [case_signal(image, label, np.zeros(label.shape), HBP) for image in images]


def test_equal_images_do_not_shift():
    shift = signal_shift(cases(0.5, 0.2), cases(0.5, 0.2), "liver")
    assert (shift.mean, shift.deviation, shift.mean_between_cases) == (0, 0, 0)


def test_shift_is_in_deviations_of_real_voxels():
    shift = signal_shift(cases(0.5, 0.2), cases(0.6, 0.2), "liver")
    assert shift.mean == pytest.approx(0.1 / 0.2, rel=0.03)
    assert shift.mean_between_cases == pytest.approx(0.1 / np.std(0.1 * np.arange(6), ddof=1), rel=0.1)


def test_narrower_structures_have_a_negative_deviation():
    assert signal_shift(cases(0.5, 0.2), cases(0.5, 0.1), "portal_vein").deviation == pytest.approx(-0.5, abs=0.03)


def test_structure_that_one_side_lacks_is_not_a_number():
    without = np.where(LABEL == 3, 0, LABEL).astype(np.int16)
    shift = signal_shift(cases(0.5, 0.2), cases(0.5, 0.2, label=without), "hepatic_vein")
    assert np.isnan(shift.mean)
    assert (shift.real_cases, shift.synthetic_cases) == (6, 0)


def test_liver_to_vessel_pools_all_vessels():
    image = np.where(LABEL == 1, 300, np.where(LABEL == 2, 90, 120)).astype(np.float32)[None]
    pooled = (3 * 90 + 2 * 120) / 5
    assert liver_to_vessel(image, LABEL, HBP) == pytest.approx(300 / pooled)


def test_no_ratio_without_vessels_or_liver():
    image = np.ones((1, *LABEL.shape), np.float32)
    assert np.isnan(liver_to_vessel(image, np.minimum(LABEL, 1), HBP))
    assert np.isnan(liver_to_vessel(image, LABEL, LabelSchema(("kidney", "portal_vein"))))
    assert np.isnan(liver_to_vessel(0 * image, LABEL, HBP))
