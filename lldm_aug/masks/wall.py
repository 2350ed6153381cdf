"""The geometry of a wall, such as a heart's around its cavity: which way it faces, and how deep a voxel lies."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from lldm_aug.geometry import Grid

MIDDLE = 0.5
"""Depth in a structure that encloses nothing."""


class Wall:
    """A structure as it lies around the middle of each slice; slices are those across the grid's coarsest axis.

    Args:
        structure: (X, Y, Z) booleans, with the lesions in it.
        grid: where it lies.
    """

    def __init__(self, structure: np.ndarray, grid: Grid) -> None:
        self.grid = grid
        self.across = coarsest_axis(grid)
        self._plane = plane_axes(grid)
        self._middles = _middles_mm(structure, grid, self.across)
        self.depth = _depth(structure, grid, self.across)

    def frame(self, voxel: np.ndarray) -> np.ndarray:
        """(3, 3) unit vectors in mm, one a column: outwards from the middle, along the wall, and across the slices."""
        out = self.grid.to_mm(voxel) - self._middles[int(voxel[self.across])]
        first, second, normal = self._plane.T
        angle = np.arctan2(out @ second, out @ first)
        outwards = np.cos(angle) * first + np.sin(angle) * second
        frame: np.ndarray = np.stack([outwards, np.cross(normal, outwards), normal], axis=1)
        return frame


def coarsest_axis(grid: Grid) -> int:
    """The axis across a grid's slices; the last of equally coarse ones."""
    return 2 - int(np.argmax(np.round(grid.spacing_mm, 3)[::-1]))


def plane_axes(grid: Grid) -> np.ndarray:
    """(3, 3) unit vectors in mm, one a column: two within the slices, and one across them.

    They point along the patient's axes that they are nearest to: a grid that is stored the other way around gives the
    same.
    """
    normal = grid.affine[:3, coarsest_axis(grid)] / np.linalg.norm(grid.affine[:3, coarsest_axis(grid)])
    normal = normal * np.sign(normal[np.argmax(np.abs(normal))])
    axis = np.eye(3)[np.argsort(np.abs(normal), kind="stable")[0]]
    first = axis - (axis @ normal) * normal
    first /= np.linalg.norm(first)
    axes: np.ndarray = np.stack([first, np.cross(normal, first), normal], axis=1)
    return axes


def _middles_mm(structure: np.ndarray, grid: Grid, across: int) -> np.ndarray:
    """(N, 3) the structure's centre of gravity in each slice; that of all of it where a slice has nothing."""
    middles = np.tile(np.argwhere(structure).mean(axis=0), (structure.shape[across], 1))
    for number in np.flatnonzero(structure.any(axis=tuple(a for a in range(3) if a != across))).tolist():
        within = np.argwhere(np.take(structure, number, axis=across)).mean(axis=0)
        middles[number] = np.insert(within, across, number)
    return grid.to_mm(middles)


def _depth(structure: np.ndarray, grid: Grid, across: int) -> np.ndarray:
    """(X, Y, Z) 0 at the inner side of the wall, 1 at its outer side; `MIDDLE` where a slice encloses nothing."""
    padded = np.pad(structure, 1)
    slices = np.moveaxis(padded, across, 0)
    filled = np.moveaxis(np.stack([binary_fill_holes(part) for part in slices]), 0, across)
    spacing = np.array(grid.spacing_mm)
    spacing[across] *= 1e3  # each slice by itself
    inner = distance_transform_edt(~(filled & ~padded), sampling=spacing)
    outer = distance_transform_edt(filled, sampling=spacing)
    far = 100 * max(np.delete(spacing, across)) * max(structure.shape)
    depth = np.where(inner < far, inner / np.maximum(inner + outer, 1e-9), MIDDLE)
    inside: np.ndarray = depth[1:-1, 1:-1, 1:-1]
    return inside
