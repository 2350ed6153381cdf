"""The way of a case to the generator's grid, and of a generated case back to the real data's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.data.resample import (
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
from lldm_aug.volume import Volume


@dataclass(frozen=True)
class Frame:
    """The generator's field of view, laid over one case.

    Args:
        native: the case's own grid.
        grid: the generator's grid in the case's canonical axes.
    """

    native: Grid
    grid: Grid

    @property
    def canonical(self) -> Grid:
        """The case's grid in canonical axis order."""
        return canonical_grid(self.native)

    @classmethod
    def around(cls, label: Volume, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Frame:
        """Centres the field of view on the case; along an axis that it cannot cover, on the labelled structures."""
        canonical = canonical_grid(label.grid)
        structures = np.argwhere(to_canonical(label.data, label.grid) > 0)
        start = np.empty(3)  # of the field of view, in voxels of the case
        for axis in range(3):
            ratio = spacing_mm[axis] / canonical.spacing_mm[axis]
            covered, size = shape[axis] * ratio, canonical.shape[axis]
            middle = (size - 1) / 2
            if covered < size and len(structures):
                middle = (structures[:, axis].min() + structures[:, axis].max()) / 2
                middle = float(np.clip(middle, (covered - 1) / 2, size - 1 - (covered - 1) / 2))
            start[axis] = middle - (shape[axis] - 1) / 2 * ratio
        direction = canonical.affine[:3, :3] / np.asarray(canonical.spacing_mm)
        affine = np.eye(4)
        affine[:3, :3] = direction * np.asarray(spacing_mm)
        affine[:3, 3] = canonical.to_mm(start)
        return cls(label.grid, Grid(shape, affine))

    def image_in(self, image: np.ndarray) -> np.ndarray:
        """(C, X, Y, Z) image on the generator's grid; outside the case it continues the edge."""
        return resample(to_canonical(image, self.native), self.canonical, self.grid)

    def share_in(self, mask: np.ndarray) -> np.ndarray:
        """Share (X, Y, Z) of a boolean native mask in each voxel of the generator's grid; 1 outside the case."""
        share = resample(to_canonical(mask, self.native), self.canonical, self.grid)
        return np.where(inside(self.canonical, self.grid), share, np.float32(1))

    def label_in(self, label: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int16 label on the generator's grid; every structure keeps its volume."""
        return shrink_labels(to_canonical(label, self.native), self.canonical, self.grid)

    def native_view(self) -> Grid:
        """The part of the case's grid that the generator's field of view covers.

        Raises:
            InvalidVolume: when there is none.
        """
        covered = from_canonical(inside(self.grid, self.canonical), self.native)
        bounds = [np.flatnonzero(covered.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        if any(len(b) == 0 for b in bounds):
            raise InvalidVolume("the generator's field of view does not meet the case")
        start = (int(bounds[0][0]), int(bounds[1][0]), int(bounds[2][0]))
        return self.native.crop(start, (len(bounds[0]), len(bounds[1]), len(bounds[2])))

    def image_out(self, image: np.ndarray) -> np.ndarray:
        """(C, X, Y, Z) image on the generator's grid, brought to `native_view`."""
        view = self.native_view()
        return from_canonical(resample(image, self.grid, canonical_grid(view)), view)

    def label_out(self, label: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int16 label on the generator's grid, brought to `native_view`."""
        view = self.native_view()
        return from_canonical(resample_labels(label, self.grid, canonical_grid(view)), view)


def fitting_spacing(grids: list[Grid], shape: tuple[int, int, int]) -> tuple[float, float, float]:
    """The spacing at which ``shape`` covers the largest grid along each axis, but never finer than the finest grid."""
    canonical = [canonical_grid(g) for g in grids]
    extents = np.max([np.asarray(g.shape) * g.spacing_mm for g in canonical], axis=0)
    finest = np.min([g.spacing_mm for g in canonical], axis=0)
    x, y, z = (float(s) for s in np.round(np.maximum(extents / np.asarray(shape), finest), 4))
    return x, y, z


def compression_for(spacing_mm: tuple[float, float, float], finest_factor: int = 4) -> tuple[int, int, int]:
    """Voxels per latent cell: ``finest_factor`` along the finest axis, fewer along thicker ones: cells near cubes."""
    finest = min(spacing_mm)
    x, y, z = (max(1, 2 ** round(float(np.log2(finest_factor * finest / s)))) for s in spacing_mm)
    return x, y, z
