"""The images of phantoms."""

import numpy as np
import pytest
from phantoms import COARSE
from scipy.ndimage import binary_erosion, label

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.phantom import DEFAULT_GRID, phantom_case

FINE = Grid.regular((160, 128, 96), (2.0, 2.0, 2.25))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [phantom_case(0, index, DEFAULT_GRID) for index in range(8)]


def test_image_and_label_share_the_grid(cases: list[Case]) -> None:
    for case in cases:
        assert case.image.shape == (1, *DEFAULT_GRID.shape)
        assert case.image.dtype == np.float32
        assert case.label.shape == DEFAULT_GRID.shape
        assert case.label.dtype == np.int16


def test_air_is_exactly_zero_and_the_body_nowhere(cases: list[Case]) -> None:
    for case in cases:
        zero = case.image[0] == 0
        assert 0.05 < zero.mean() < 0.5
        assert zero[[0, 0, -1, -1], [0, -1, 0, -1]].all()
        assert label(~zero)[1] == 1
        assert not zero[case.label > 0].any()


def test_intensities_are_whole_numbers_in_a_scanners_range(cases: list[Case]) -> None:
    for case in cases:
        assert np.array_equal(case.image, np.rint(case.image))
        assert 400 < case.image.max() < 4000


def test_liver_is_bright_and_vessels_are_dark(cases: list[Case]) -> None:
    for case in cases:
        image, mask = case.image[0], case.label
        liver = np.median(image[mask == 1])
        assert liver > 1.3 * np.median(image[np.isin(mask, (2, 3))])
        assert liver > 2 * np.median(image[(image > 0) & (mask == 0)])


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
    for case in cases:
        tumour = binary_erosion(case.label == 4)
        if tumour.any():
            dark.append(np.median(case.image[0][tumour]) < 0.8 * np.median(case.image[0][case.label == 1]))
    assert np.mean(dark) > 0.5


def test_same_seed_same_bytes() -> None:
    first, second = (phantom_case(5, 2, COARSE) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.label.tobytes() == second.label.tobytes()


@pytest.mark.parametrize(("seed", "index"), [(5, 3), (6, 2)])
def test_other_seed_or_index_is_another_case(seed: int, index: int) -> None:
    first, other = phantom_case(5, 2, COARSE), phantom_case(seed, index, COARSE)
    assert not np.array_equal(first.label, other.label)
    assert not np.array_equal(first.image, other.image)
