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
from lldm_aug.geometry import Box, Grid
from lldm_aug.volume import Volume

SAME_SPACING = 0.02
"""Spacings that differ by no more than this share of them are the same: resampling would only blur."""


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
        return cls(label.grid, _grid_at(canonical, start, shape, np.asarray(spacing_mm)))

    @classmethod
    def whole(
        cls,
        native: Grid,
        spacing_mm: tuple[float, float, float],
        least: tuple[int, int, int],
        multiple: tuple[int, int, int],
    ) -> Frame:
        """All of a case at this spacing, padded on both sides.

        Where the case has this spacing already, its voxels stay as they are.

        Args:
            native: the case's own grid.
            spacing_mm: voxel size.
            least: sides are at least these.
            multiple: and multiples of these.
        """
        canonical = canonical_grid(native)
        ratio = np.asarray(spacing_mm) / canonical.spacing_mm
        ratio = np.where(np.abs(ratio - 1) <= SAME_SPACING, 1.0, ratio)
        sides = np.ceil(np.round(canonical.shape / ratio, 3)).astype(int)  # not a voxel of the case is lost
        x, y, z = (int(n) for n in -(-np.maximum(sides, least) // multiple) * multiple)
        before = (np.array([x, y, z]) - sides) // 2
        start = (np.asarray(canonical.shape) - 1) / 2 - ((sides - 1) / 2 + before) * ratio
        return cls(native, _grid_at(canonical, start, (x, y, z), ratio * canonical.spacing_mm))

    def covered(self) -> Box:
        """The part of the generator's grid that the case covers.

        Raises:
            InvalidVolume: when there is none.
        """
        return _bounds(inside(self.canonical, self.grid))

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
        x, y, z = _bounds(from_canonical(inside(self.grid, self.canonical), self.native))
        return self.native.crop((x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start))

    def image_out(self, image: np.ndarray) -> np.ndarray:
        """(C, X, Y, Z) image on the generator's grid, brought to `native_view`."""
        view = self.native_view()
        return from_canonical(resample(image, self.grid, canonical_grid(view)), view)

    def label_out(self, label: np.ndarray) -> np.ndarray:
        """(X, Y, Z) int16 label on the generator's grid, brought to `native_view`."""
        view = self.native_view()
        return from_canonical(resample_labels(label, self.grid, canonical_grid(view)), view)


def _grid_at(canonical: Grid, start: np.ndarray, shape: tuple[int, int, int], spacing_mm: np.ndarray) -> Grid:
    """The grid of this shape and spacing that begins at a (fractional) voxel of a canonical one."""
    affine = np.eye(4)
    affine[:3, :3] = canonical.affine[:3, :3] / np.asarray(canonical.spacing_mm) * spacing_mm
    affine[:3, 3] = canonical.to_mm(start)
    return Grid(shape, affine)


def _bounds(voxels: np.ndarray) -> Box:
    """The box of the true (X, Y, Z) voxels."""
    found = [np.flatnonzero(voxels.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if any(len(b) == 0 for b in found):
        raise InvalidVolume("the generator's field of view does not meet the case")
    x, y, z = (slice(int(b[0]), int(b[-1]) + 1) for b in found)
    return x, y, z


def median_spacing(grids: list[Grid]) -> tuple[float, float, float]:
    """The median spacing along each canonical axis."""
    x, y, z = (float(s) for s in np.round(np.median([canonical_grid(g).spacing_mm for g in grids], axis=0), 4))
    return x, y, z


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
