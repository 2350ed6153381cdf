"""Reorientation and separable resampling: exact where exactness is possible, volume-keeping for labels."""

import itertools

import numpy as np
import pytest

from lldm_aug.data.resample import (
    axis_weights,
    canonical_grid,
    from_canonical,
    inside,
    resample,
    resample_labels,
    shrink_labels,
    to_canonical,
)
from lldm_aug.errors import InvalidVolume
from lldm_aug.geometry import Grid

ORIENTATIONS = ["".join(codes) for codes in itertools.product("RL", "AP", "SI")] + ["SRA", "PIR", "ILA"]


def oriented(codes: str) -> Grid:
    """A 6 x 5 x 4 grid whose axes run as the codes say."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, code in enumerate(codes):
        row = next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[row, column] = (1.0 + column) * (1 if code in "RAS" else -1)
    affine[:3, 3] = (10, -20, 30)
    return Grid((6, 5, 4), affine)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_canonical_is_ras_and_comes_back(codes: str) -> None:
    grid = oriented(codes)
    data = np.random.default_rng(0).normal(size=(2, *grid.shape))
    canonical = canonical_grid(grid)
    assert canonical.orientation == "RAS"
    assert to_canonical(data, grid).shape[1:] == canonical.shape
    np.testing.assert_array_equal(from_canonical(to_canonical(data, grid), grid), data)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_reorienting_keeps_voxels_at_their_place(codes: str) -> None:
    grid = oriented(codes)
    canonical = canonical_grid(grid)
    index = np.array([1, 2, 3])
    data = np.zeros(grid.shape)
    data[tuple(index)] = 1
    found = np.argwhere(to_canonical(data, grid))[0]
    np.testing.assert_allclose(canonical.to_mm(found), grid.to_mm(index))


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(("n_in", "n_out", "step", "start"), [(10, 4, 2.5, 0.75), (4, 10, 0.4, -0.3), (7, 7, 1.0, 0.0)])
def test_weights_sum_to_one(n_in: int, n_out: int, step: float, start: float, smooth: bool) -> None:
    np.testing.assert_allclose(axis_weights(n_in, n_out, step, start, smooth=smooth).sum(axis=1), 1, rtol=1e-6)


def test_same_grid_is_identity() -> None:
    grid = Grid.regular((6, 5, 4), (1, 2, 3))
    data = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(resample(data, grid, grid), data, atol=1e-6)


def test_a_shift_by_whole_voxels_takes_them_as_they_are_and_continues_the_edge() -> None:
    data = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype(np.float32)
    source = Grid((6, 5, 4), np.diag([1.5, 2, 3, 1]))
    affine = source.affine.copy()
    affine[:3, 3] = source.to_mm(np.array([2.0, -1.0, 0.0]))
    moved = resample(data, source, Grid((7, 4, 4), affine))
    padded = np.pad(data, ((0, 0), (0, 3), (1, 0), (0, 0)), mode="edge")
    np.testing.assert_array_equal(moved, padded[:, 2:9, 0:4, :])


def test_linear_ramp_is_reproduced_between_samples() -> None:
    source, target = Grid.regular((20, 20, 20), (2, 2, 2)), Grid.regular((18, 18, 18), (1, 1, 1))
    mm = source.to_mm(np.stack(np.meshgrid(*map(np.arange, source.shape), indexing="ij"), -1))
    ramp = mm @ (1.0, -2.0, 0.5)
    expected = target.to_mm(np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)) @ (1.0, -2.0, 0.5)
    np.testing.assert_allclose(resample(ramp, source, target), expected, atol=1e-4)


def test_oblique_grids_are_refused() -> None:
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    with pytest.raises(InvalidVolume, match="parallel"):
        resample(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4)), Grid((4, 4, 4), turned))


def thin_vessel() -> tuple[np.ndarray, Grid]:
    """A liver with a straight vessel of 2 x 2 fine voxels in it."""
    label = np.zeros((48, 48, 48), np.int16)
    label[6:42, 6:42, 6:42] = 1
    label[20:22, 25:27, 6:42] = 2
    return label, Grid.regular((48, 48, 48), (1, 1, 1))


def test_shrinking_keeps_volume_of_thin_structures() -> None:
    label, grid = thin_vessel()
    coarse = Grid.regular((16, 16, 16), (3, 3, 3))
    small = shrink_labels(label, grid, coarse)
    for value in (1, 2):
        volume = (small == value).sum() * coarse.voxel_volume_mm3
        assert volume == pytest.approx((label == value).sum(), abs=coarse.voxel_volume_mm3 / 2)  # as whole voxels allow


def test_most_likely_label_would_erase_it() -> None:
    label, grid = thin_vessel()
    averaged = resample(label == 2, grid, Grid.regular((16, 16, 16), (3, 3, 3)))
    assert averaged.max() < 0.5


def test_enlarging_returns_a_coarse_mask_unchanged_at_its_own_centres() -> None:
    coarse, fine = Grid.regular((8, 8, 8), (3, 3, 3)), Grid.regular((24, 24, 24), (1, 1, 1))
    label = np.random.default_rng(1).integers(0, 4, (8, 8, 8)).astype(np.int16)
    np.testing.assert_array_equal(resample_labels(label, coarse, fine)[1::3, 1::3, 1::3], label)


def test_inside_is_whole_on_the_same_grid_and_partial_on_a_larger() -> None:
    small, large = Grid.regular((4, 4, 4), (2, 2, 2)), Grid.regular((8, 4, 4), (2, 2, 2))
    assert inside(small, small).all()
    assert inside(small, large).sum() == 4 * 4 * 4
