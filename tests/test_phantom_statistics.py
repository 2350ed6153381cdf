"""Figures of many phantoms, as they come out in images and labels, against those of people."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from phantoms import SEEDS, anatomy, labels, volume_ml
from scipy.ndimage import binary_erosion, label

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom import DEFAULT_GRID, phantom_case, phantom_labels
from lldm_aug.phantom.case import render
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.paint import tissue_map
from lldm_aug.phantom.tissues import Tissue
from lldm_aug.seeds import derive_seed

ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)
CASES, MANY = range(12), range(96)
PORTAL, HEPATIC, TUMOUR = (HBP.value(name) for name in ("portal_vein", "hepatic_vein", "hcc"))
FINE = Grid.regular((208, 168, 144), (1.5, 1.5, 1.5))


@cache
def case(index: int) -> Case:
    return phantom_case(11, index, DEFAULT_GRID)


def mean(case: Case, *values: int) -> float:
    return float(case.image[0][np.isin(case.label, values)].mean())


def vessel_share(mask: np.ndarray) -> float:
    return float(np.isin(mask, (PORTAL, HEPATIC)).sum() / (mask > 0).sum())


def portal_share(mask: np.ndarray) -> float:
    return float((mask == PORTAL).sum() / np.isin(mask, (PORTAL, HEPATIC)).sum())


def tumour_sizes_mm(mask: np.ndarray) -> list[float]:
    """Diameters of balls of the tumours' volumes."""
    pieces, count = label(mask == TUMOUR, ANY_NEIGHBOUR)
    volumes = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * DEFAULT_GRID.voxel_volume_mm3
    return [float(np.cbrt(6 / np.pi * v)) for v in volumes]


def assert_shapes_of_people(masks: list[np.ndarray]) -> None:
    volumes = [volume_ml(mask > 0) for mask in masks]
    assert 1000 * 0.97 < min(volumes) < max(volumes) < 3400 * 1.03
    assert 1400 < np.median(volumes) < 1800
    shares = [vessel_share(mask) for mask in masks]
    assert 0.01 < min(shares) < max(shares) < 0.08
    assert 0.02 < np.median(shares) < 0.04
    portal = [portal_share(mask) for mask in masks]
    assert 0.35 < np.median(portal) < 0.45
    low, high = np.quantile(portal, [0.05, 0.95])
    assert 0.25 < low < high < 0.6


def test_livers_and_vessels_have_the_sizes_of_peoples() -> None:
    assert_shapes_of_people([labels(seed) for seed in SEEDS])


def test_nought_to_eight_tumours_of_five_to_a_hundred_and_twenty_mm() -> None:
    sizes = [tumour_sizes_mm(labels(seed)) for seed in SEEDS]
    assert max(len(s) for s in sizes) <= 8
    assert len({len(s) for s in sizes}) >= 4
    every = [size for s in sizes for size in s]
    assert 3 < min(every) < max(every) < 120
    assert 8 < np.median(every) < 40


def test_masks_are_anatomically_possible() -> None:
    assert {seed: problems for seed in SEEDS if (problems := mask_problems(labels(seed), HBP))} == {}


def test_every_structure_is_whole_and_no_voxel_is_an_orphan() -> None:
    for seed in SEEDS:
        mask = labels(seed)
        assert label(mask > 0)[1] == 1
        assert [label(mask == vein, ANY_NEIGHBOUR)[1] for vein in (PORTAL, HEPATIC)] == [1, 1]
        assert label(mask == TUMOUR, ANY_NEIGHBOUR)[1] <= len(anatomy(seed).tumours)


def test_vessels_are_about_two_to_four_times_darker_than_the_liver() -> None:
    pooled = np.array([mean(case(i), 1) / mean(case(i), PORTAL, HEPATIC) for i in CASES])
    assert np.sum(pooled > 1.8) >= len(pooled) - 1
    assert 2.0 < np.median(pooled) < 3.5
    assert pooled.max() < 4
    for vein in (PORTAL, HEPATIC):
        assert min(mean(case(i), 1) / mean(case(i), vein) for i in CASES) > 1.6


def test_air_is_exactly_zero_around_a_body_of_usual_share() -> None:
    shares = [np.mean(case(i).image == 0) for i in CASES]
    assert 0.1 < min(shares) < max(shares) < 0.6
    assert all((case(i).image[0][case(i).label > 0] > 0).all() for i in CASES)


def test_bile_is_brighter_than_liver_than_spleen_than_blood_and_fat_is_dark() -> None:
    medians: dict[Tissue, list[float]] = {}
    frame = Frame.centred(DEFAULT_GRID)
    for seed in CASES:
        image, tissues = render(anatomy(seed), frame, seed), tissue_map(anatomy(seed), frame)
        for tissue in (Tissue.GALLBLADDER, Tissue.LIVER, Tissue.SPLEEN, Tissue.BLOOD, Tissue.INNER_FAT):
            core = binary_erosion(tissues == tissue)
            if core.sum() > 20:
                medians.setdefault(tissue, []).append(float(np.median(image[core])))
    bile, liver, spleen, blood, fat = (np.median(medians[tissue]) for tissue in medians)
    assert bile > 1.1 * liver > 1.1 * 1.3 * spleen
    assert spleen > 1.2 * blood > 1.2 * 1.2 * fat


def test_protocols_differ_in_brightness_noise_and_contrast() -> None:
    livers = [mean(case(i), 1) for i in CASES]
    assert np.std(livers) > 0.1 * np.mean(livers)


def test_labels_of_a_seed_are_those_of_its_case() -> None:
    for index in (0, 5):
        seed = derive_seed(11, "phantom case", index)
        assert np.array_equal(case(index).label, phantom_labels(seed, DEFAULT_GRID))


def test_labels_on_a_fine_grid_are_the_same_anatomy() -> None:
    for seed in (0, 1):
        fine, mask = phantom_labels(seed, FINE), labels(seed)
        assert mask_problems(fine, HBP) == []
        assert volume_ml(fine > 0, FINE) == pytest.approx(volume_ml(mask > 0), rel=0.02)
        assert vessel_share(fine) == pytest.approx(vessel_share(mask), rel=0.3)
        assert volume_ml(fine == TUMOUR, FINE) == pytest.approx(volume_ml(mask == TUMOUR), rel=0.1, abs=1)


@pytest.fixture(scope="module")
def many() -> list[Case]:
    """Enough cases to see what is rare."""
    return [phantom_case(12, index, DEFAULT_GRID) for index in MANY]


@pytest.mark.slow
def test_every_one_of_many_cases_is_valid(many: list[Case]) -> None:
    assert [c.case_id for c in many if mask_problems(c.label, HBP)] == []


@pytest.mark.slow
def test_figures_hold_over_many_cases(many: list[Case]) -> None:
    assert_shapes_of_people([c.label for c in many])
    pooled = [mean(c, 1) / mean(c, PORTAL, HEPATIC) for c in many]
    assert np.mean(np.array(pooled) > 1.8) >= 0.97
    assert max(pooled) < 4
    dark = [
        float(c.image[0][core].mean()) < 0.85 * mean(c, 1)
        for c in many
        if (core := binary_erosion(c.label == TUMOUR)).any()
    ]
    assert 0.6 < np.mean(dark) < 1
