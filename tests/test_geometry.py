"""Grids: positions, distances and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.errors import InvalidVolume
from lldm_aug.geometry import Grid
from lldm_aug.volume import Volume

spacings = st.tuples(*[st.floats(0.02, 20)] * 3)
shapes = st.tuples(*[st.integers(1, 50)] * 3)
offsets = st.tuples(*[st.floats(-500, 500)] * 3)


@st.composite
def grids(draw):
    angles = draw(st.tuples(*[st.floats(-3, 3)] * 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation * draw(spacings)
    affine[:3, 3] = draw(offsets)
    return Grid(draw(shapes), affine)


@given(shapes, spacings, offsets)
def test_regular_grid_is_what_it_was_asked_for(shape, spacing, centre):
    grid = Grid.regular(shape, spacing, centre)
    assert grid.shape == shape
    assert np.allclose(grid.spacing_mm, spacing)
    assert np.allclose(grid.centre_mm, centre)
    assert grid.orientation == "RAS"


@given(grids(), offsets)
def test_voxels_and_millimetres_are_inverse(grid, point):
    assert np.allclose(grid.to_mm(grid.to_voxels(np.array(point))), point, atol=1e-6)


@given(grids())
def test_json_round_trip_is_exact(grid):
    back = Grid.from_json(json.loads(json.dumps(grid.to_json())))
    assert back.shape == grid.shape
    assert np.array_equal(back.affine, grid.affine)


@given(grids(), offsets)
def test_shift_is_its_own_length(grid, shift):
    affine = grid.affine.copy()
    affine[:3, 3] += shift
    assert np.isclose(grid.displacement_mm(Grid(grid.shape, affine)), np.linalg.norm(shift), atol=1e-6)


@given(grids(), st.tuples(*[st.integers(-5, 5)] * 3))
def test_crop_keeps_positions(grid, start):
    part = grid.crop(start, (3, 4, 5))
    assert np.allclose(part.to_mm(np.array([1, 2, 3])), grid.to_mm(np.add(start, [1, 2, 3])), atol=1e-6)
    assert np.allclose(part.spacing_mm, grid.spacing_mm)


def test_flipped_grid_is_far_away_though_its_spacing_is_equal():
    grid = Grid.regular((10, 9, 8), (1.0, 1.0, 4.0))
    flipped = Grid(grid.shape, grid.affine @ np.diag([-1, 1, 1, 1]))
    assert flipped.spacing_mm == grid.spacing_mm
    assert flipped.displacement_mm(grid) == 18
    assert not flipped.matches(grid)


def test_small_rotation_shows_at_the_corners():
    grid = Grid.regular((300, 300, 100), (1.0, 1.0, 1.0))
    turn, angle = np.eye(4), 1e-4  # elements differ by 0.0001, corners by 0.02 mm
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert not grid.matches(Grid(grid.shape, turn @ grid.affine))


def test_other_shape_is_infinitely_far():
    assert Grid.regular((4, 4, 4), (1, 1, 1)).displacement_mm(Grid.regular((4, 4, 5), (1, 1, 1))) == np.inf


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((4, 4, 4), np.diag([np.nan, 1, 1, 1])),
        ((4, 4, 4), np.diag([np.inf, 1, 1, 1])),
        ((4, 4, 4), np.zeros((4, 4))),
        ((4, 4, 4), np.eye(3)),
        ((4, 4, 4), np.diag([0.001, 1, 1, 1])),
        ((4, 4, 4), np.diag([1, 1, 60, 1])),
        ((4, 4, 4), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
        ((0, 4, 4), np.eye(4)),
        ((4, -4, 4), np.eye(4)),
        ((4, 4), np.eye(4)),
    ],
)
def test_implausible_grids_are_refused(shape, affine):
    with pytest.raises(InvalidVolume):
        Grid(shape, affine)


def test_affine_cannot_be_changed_afterwards():
    source = np.eye(4)
    grid = Grid((2, 2, 2), source)
    source[0, 0] = 7
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 7


def test_volume_fits_its_grid():
    grid = Grid.regular((4, 5, 6), (1, 1, 1))
    Volume(np.zeros((4, 5, 6)), grid), Volume(np.zeros((2, 4, 5, 6)), grid)
    for shape in ((4, 5, 7), (5, 4, 6), (4, 5), (1, 1, 4, 5, 6)):
        with pytest.raises(InvalidVolume):
            Volume(np.zeros(shape), grid)
