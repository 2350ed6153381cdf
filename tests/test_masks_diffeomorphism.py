"""Deformations: smooth, invertible, gentle to thin structures."""

import numpy as np
import pytest
from scipy.ndimage import label, map_coordinates

from lldm_aug.anatomy.reconnect import reconnect
from lldm_aug.geometry import Grid
from lldm_aug.masks.deformed import warp_labels
from lldm_aug.masks.diffeomorphism import Lattice, displacement_in, draw_velocity, flow, jacobian
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

GRID = Grid.regular((64, 64, 20), (4.0, 4.0, 8.0))
LATTICE = Lattice.over(GRID.shape, GRID.spacing_mm)
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


def _velocity(seed: int, peak_mm: float = 14.0) -> np.ndarray:
    return draw_velocity(numpy_rng(seed), LATTICE, peak_mm)


def _maze() -> Volume:
    """A thick organ with a vessel of one voxel that runs through it in steps, and a small lesion."""
    data = np.zeros(GRID.shape, np.int16)
    data[10:54, 10:54, 3:17] = 1
    for i in range(12, 50):
        data[i, 12 + (i - 12) // 2, 6 + (i - 12) // 5] = 2
    data[20, 14:50, 7] = 2
    data[40:42, 15:17, 10] = 3
    return Volume(data, GRID)


@pytest.mark.parametrize("seed", range(6))
def test_jacobian_is_positive(seed: int) -> None:
    assert jacobian(flow(_velocity(seed, 16.0), LATTICE), LATTICE).min() > 0.1


def test_jacobian_sees_a_fold() -> None:
    nodes = np.indices(LATTICE.shape) * np.reshape(LATTICE.spacing_mm, (3, 1, 1, 1))
    assert jacobian(-2.0 * nodes, LATTICE).max() == pytest.approx(-1.0)


def test_no_velocity_moves_nothing() -> None:
    still = flow(np.zeros((3, *LATTICE.shape)), LATTICE)
    assert not still.any()
    assert np.array_equal(warp_labels(_maze(), still, LATTICE), _maze().data)


def test_velocity_has_its_peak_and_no_flow_across_the_border() -> None:
    velocity = _velocity(0)
    assert np.linalg.norm(velocity, axis=0).max() == pytest.approx(14.0)
    for axis in range(3):
        assert not np.take(velocity[axis], [0, -1], axis=axis).any()


@pytest.mark.parametrize("seed", range(3))
def test_forward_then_backward_is_the_identity(seed: int) -> None:
    velocity = _velocity(seed)
    there, back = flow(velocity, LATTICE), flow(-velocity, LATTICE)
    steps = np.reshape(LATTICE.spacing_mm, (3, 1, 1, 1))
    places = np.indices(LATTICE.shape) + there / steps
    rest = there + np.stack([map_coordinates(b, places, order=3, mode="nearest") for b in back])
    assert np.abs(rest).max() < 0.25  # mm, of a displacement of more than 10
    assert np.abs(there).max() > 7


def test_constant_speed_along_an_axis_is_a_shift() -> None:
    velocity = np.zeros((3, *LATTICE.shape))
    velocity[1] = 8.0
    assert flow(velocity, LATTICE)[1] == pytest.approx(8.0)
    box = (slice(0, 64), slice(0, 64), slice(0, 20))
    assert displacement_in(velocity, LATTICE, GRID.shape, box)[1] == pytest.approx(8.0)


def test_labels_follow_a_shift_of_whole_voxels() -> None:
    shift = np.zeros((3, *LATTICE.shape))
    shift[0], shift[2] = 8.0, -8.0
    moved = warp_labels(_maze(), shift, LATTICE)
    assert np.array_equal(moved[8:56, :, 3:18], _maze().data[10:58, :, 2:17])


@pytest.mark.parametrize("seed", range(5))
def test_thin_structures_stay_whole_and_keep_their_size(seed: int) -> None:
    before = _maze().data
    after = warp_labels(_maze(), flow(_velocity(seed), LATTICE), LATTICE)
    for value in (1, 2, 3):
        assert label(after == value, ANY_NEIGHBOUR)[1] == 1
        assert (after == value).sum() == pytest.approx((before == value).sum(), rel=0.35, abs=3)
    assert (after != before).mean() > 0.01


def test_reconnect_takes_the_likeliest_way() -> None:
    structure = np.zeros((9, 5, 5), bool)
    structure[:4, 2, 2] = structure[6:, 2, 2] = True
    share = np.full(structure.shape, 0.05)
    share[4:6, 3, 2] = 0.4
    joined = reconnect(structure, share)
    assert np.argwhere(joined & ~structure).tolist() == [[4, 3, 2], [5, 3, 2]]


def test_reconnect_leaves_apart_what_no_way_joins() -> None:
    structure = np.zeros((9, 3, 3), bool)
    structure[0] = structure[8] = True
    assert np.array_equal(reconnect(structure, structure.astype(float)), structure)
