"""The images of phantoms, against those of people."""

import numpy as np
import pytest
from phantoms import CASES, COARSE, HEPATIC, PORTAL, SEED, TUMOUR, anatomy, assert_shapes_of_people, case
from scipy.ndimage import binary_erosion, label

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom import DEFAULT_GRID, phantom_case, phantom_labels
from lldm_aug.phantom.frame import BodyFrame
from lldm_aug.phantom.paint import tissue_map
from lldm_aug.phantom.tissues import Tissue
from lldm_aug.seeds import derive_seed

MANY = range(48)
FINE = Grid.regular((160, 128, 96), (2.0, 2.0, 2.25))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [case(index) for index in CASES]


def mean(case: Case, *values: int) -> float:
    return float(case.image[0][np.isin(case.label, values)].mean())


def test_image_and_label_share_the_grid(cases: list[Case]) -> None:
    for one in cases:
        assert one.image.shape == (1, *DEFAULT_GRID.shape)
        assert one.image.dtype == np.float32
        assert one.label.shape == DEFAULT_GRID.shape
        assert one.label.dtype == np.int16


def test_air_is_exactly_zero_and_the_body_nowhere(cases: list[Case]) -> None:
    for one in cases:
        zero = one.image[0] == 0
        assert 0.05 < zero.mean() < 0.5
        assert zero[[0, 0, -1, -1], [0, -1, 0, -1]].all()
        assert label(~zero)[1] == 1
        assert not zero[one.label > 0].any()


def test_intensities_are_whole_numbers_in_a_scanners_range(cases: list[Case]) -> None:
    for one in cases:
        assert np.array_equal(one.image, np.rint(one.image))
        assert 400 < one.image.max() < 4000


def test_liver_is_bright_and_vessels_are_dark(cases: list[Case]) -> None:
    for one in cases:
        image, mask = one.image[0], one.label
        liver = np.median(image[mask == 1])
        assert liver > 1.3 * np.median(image[np.isin(mask, (2, 3))])
        assert liver > 2 * np.median(image[(image > 0) & (mask == 0)])


@pytest.mark.slow
def test_liver_to_vessel_ratio_where_no_partial_volume_hides_it() -> None:
    ratios = []
    for index in range(4):
        case = phantom_case(3, index, FINE)
        core = binary_erosion(np.isin(case.label, (2, 3)))
        liver = binary_erosion(case.label == 1, iterations=2)
        ratios.append(np.median(case.image[0][liver]) / np.median(case.image[0][core]))
    assert min(ratios) > 1.8
    assert max(ratios) < 5.5


def test_most_tumours_are_dark(cases: list[Case]) -> None:
    dark = []
    for one in cases:
        tumour = binary_erosion(one.label == 4)
        if tumour.any():
            dark.append(np.median(one.image[0][tumour]) < 0.8 * np.median(one.image[0][one.label == 1]))
    assert np.mean(dark) > 0.5


def test_a_case_is_a_pure_function_of_seed_and_index() -> None:
    first, again, other_index, other_seed = (phantom_case(*which, COARSE) for which in ((5, 2), (5, 2), (5, 3), (6, 2)))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    for other in (other_index, other_seed):
        assert not np.array_equal(first.label, other.label)
        assert not np.array_equal(first.image, other.image)


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
    frame = BodyFrame.centred(DEFAULT_GRID)
    for index in CASES:
        person = anatomy(derive_seed(SEED, "phantom case", index))
        image, tissues = case(index).image[0], tissue_map(person, frame)
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
        seed = derive_seed(SEED, "phantom case", index)
        assert np.array_equal(case(index).label, phantom_labels(seed, DEFAULT_GRID))


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
