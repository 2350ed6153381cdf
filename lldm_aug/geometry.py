"""Where voxels lie in the patient: a voxel grid with its affine, in nibabel's order (X, Y, Z) and RAS+ millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes

from lldm_aug.errors import InvalidVolume

CORNER_TOLERANCE_MM = 1e-3

Box = tuple[slice, slice, slice]
"""Part of a grid: a range of voxels along each of (X, Y, Z)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular voxel grid.

    Args:
        shape: voxels along (X, Y, Z).
        affine: (4, 4) matrix from voxel indices to RAS+ millimetres.

    Raises:
        InvalidVolume: for a side below 1, a singular or non-finite affine, or a spacing outside 0.01-50 mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InvalidVolume(f"shape {self.shape} is not three sides of at least one voxel")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InvalidVolume("the affine is not a finite 4x4 matrix", fix="repair the header")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InvalidVolume("the affine is singular", fix="repair the header")
        if not all(0.01 <= s <= 50 for s in self.spacing_mm):
            fix = "repair the header; units must be millimetres"
            raise InvalidVolume(f"spacing {self.spacing_mm} mm is outside 0.01-50 mm", fix=fix)

    @classmethod
    def regular(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Grid:
        """An RAS-aligned grid of this shape and spacing around a centre."""
        affine = np.diag([*spacing_mm, 1.0])
        affine[:3, 3] = np.asarray(centre_mm) - (np.asarray(shape) - 1) / 2 * np.asarray(spacing_mm)
        return cls(shape, affine)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis."""
        x, y, z = (float(s) for s in voxel_sizes(self.affine))
        return x, y, z

    @property
    def orientation(self) -> str:
        """Axis codes, such as ``RAS`` or ``LPS``."""
        return "".join(aff2axcodes(self.affine))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def centre_mm(self) -> np.ndarray:
        """(3,) position of the middle of the grid."""
        return self.to_mm((np.asarray(self.shape) - 1) / 2)

    def to_mm(self, voxels: np.ndarray) -> np.ndarray:
        """Positions (..., 3) in millimetres of (fractional) voxel indices (..., 3)."""
        points_mm: np.ndarray = np.asarray(voxels) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return points_mm

    def to_voxels(self, points_mm: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (..., 3) of positions (..., 3) in millimetres."""
        voxels: np.ndarray = (np.asarray(points_mm) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        return voxels

    def corners_mm(self) -> np.ndarray:
        """(8, 3) positions of the centres of the corner voxels."""
        return self.to_mm(np.array(list(product(*((0, n - 1) for n in self.shape)))))

    def displacement_mm(self, other: Grid) -> float:
        """Largest distance between equal corners of two grids of one shape; infinite for different shapes."""
        if self.shape != other.shape:
            return float("inf")
        return float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())

    def matches(self, other: Grid, tolerance_mm: float = CORNER_TOLERANCE_MM) -> bool:
        """Whether both grids have one shape and no corner is further apart than the tolerance."""
        return self.displacement_mm(other) <= tolerance_mm

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Grid:
        """The sub-grid (or, with a negative start, super-grid) that begins at a voxel of this one."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_mm(np.asarray(start))
        return Grid(shape, affine)

    def part(self, box: Box) -> Grid:
        """The sub-grid of a box."""
        x, y, z = box
        return self.crop((x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start))

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable form; see `from_json`."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Grid:
        """The grid that `to_json` described."""
        x, y, z = data["shape"]
        return cls((x, y, z), np.asarray(data["affine"], dtype=np.float64))
