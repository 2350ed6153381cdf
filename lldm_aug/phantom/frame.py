"""Positions of voxels in the phantom's own frame: RAS millimetres from the centre of the field of view."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from lldm_aug.geometry import Grid

Slices = tuple[slice, slice, slice]
Positions = tuple[np.ndarray, np.ndarray, np.ndarray]
Factors = tuple[int, int, int]


@dataclass(frozen=True)
class BodyFrame:
    """A grid seen from the middle of the body.

    Args:
        grid: the voxels.
        origin_mm: (3,) where the phantom's (0, 0, 0) lies in the grid's millimetres.
    """

    grid: Grid
    origin_mm: np.ndarray

    @classmethod
    def centred(cls, grid: Grid) -> BodyFrame:
        """The frame whose origin is the middle of the grid."""
        return cls(grid, grid.centre_mm)

    def positions(self) -> Positions:
        """x (right), y (anterior), z (superior) of all voxels: float32 arrays that broadcast to the grid's shape."""
        matrix = self.grid.affine[:3, :3]
        indices = np.ogrid[tuple(slice(n) for n in self.grid.shape)]
        shift = self.grid.affine[:3, 3] - self.origin_mm
        axes = []
        for row, offset in zip(matrix, shift, strict=True):
            terms = [step * index for step, index in zip(row, indices, strict=True) if abs(step) > 1e-9]
            axes.append(np.asarray(sum(terms, np.zeros((1, 1, 1))) + offset, dtype=np.float32))
        return axes[0], axes[1], axes[2]

    def refined(self, step_mm: float) -> tuple[BodyFrame, Factors]:
        """The frame of the equal parts, no longer than a step, of each voxel, and their number along each axis."""
        a, b, c = (int(np.ceil(s / step_mm - 1e-6)) for s in self.grid.spacing_mm)
        affine = self.grid.affine.copy()
        affine[:3, :3] /= [a, b, c]
        affine[:3, 3] = self.grid.to_mm(np.array([(1 / n - 1) / 2 for n in (a, b, c)]))
        x, y, z = self.grid.shape
        return BodyFrame(Grid((x * a, y * b, z * c), affine), self.origin_mm), (a, b, c)

    def axis_along(self, direction: int) -> int:
        """The array's axis that runs most nearly right (0), anterior (1) or superior (2)."""
        return int(np.argmax(np.abs(self.grid.affine[direction, :3]) / self.grid.spacing_mm))

    def crop(self, low_mm: np.ndarray, high_mm: np.ndarray) -> tuple[Slices, BodyFrame]:
        """The voxels that can lie in a box (3,) to (3,), and the frame of those alone (at least one voxel a side)."""
        corners = np.array(list(product(*zip(low_mm, high_mm, strict=True)))) + self.origin_mm
        voxels = self.grid.to_voxels(corners)
        top = np.asarray(self.grid.shape) - 1
        start = np.clip(np.floor(voxels.min(axis=0)).astype(int), 0, top)
        stop = np.clip(np.ceil(voxels.max(axis=0)).astype(int), start, top) + 1
        (a, b, c), (d, e, f) = start.tolist(), stop.tolist()
        sub = self.grid.crop((a, b, c), (d - a, e - b, f - c))
        return (slice(a, d), slice(b, e), slice(c, f)), BodyFrame(sub, self.origin_mm)

    def nearest(self, points_mm: np.ndarray) -> np.ndarray:
        """(K, 3) indices of the voxels that hold the points (N, 3); points outside the grid are left out."""
        voxels = np.rint(self.grid.to_voxels(points_mm + self.origin_mm)).astype(int)
        inside = np.all((voxels >= 0) & (voxels < np.asarray(self.grid.shape)), axis=1)
        kept: np.ndarray = voxels[inside]
        return kept
