"""The liver of a real mask: its trunks, its tumours, and where there is room for another tumour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, grey_opening, label

from lldm_aug.geometry import Box, Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.limits import LESIONS, LIVER, VESSELS
from lldm_aug.masks.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.volume import Volume

TRUNK_MM = 6.0
"""A vessel of at least this diameter is a trunk, which no tumour touches; thinner branches may be cut."""
CELL_MM = 3.0
"""Places for a tumour's centre are looked for in steps of about this length."""
CAPSULE = 0.7
"""Least distance of a tumour's centre from the liver's surface, in its radii: more than this bulges out too far."""
TRUNK = 0.9
"""Least distance of its centre from a trunk, in its radii."""
GAP_MM = 3.0
"""Least distance from another tumour."""


@dataclass(frozen=True)
class RealTumour:
    """One lesion of a real mask.

    Args:
        value: its label.
        box: where it lies in the site.
        voxels: (x, y, z) booleans in the box.
    """

    value: int
    box: Box
    voxels: np.ndarray


class Site:
    """The part of a mask that holds the liver, its vessels and its lesions.

    Args:
        mask: (X, Y, Z) labels.
        schema: has a liver and a lesion.
    """

    def __init__(self, mask: Volume, schema: LabelSchema) -> None:
        self.schema = schema
        self.liver = schema.value(LIVER)
        self.lesions = tuple(value for name, value in schema.values.items() if name in LESIONS)
        self.vessels = {name: value for name, value in schema.values.items() if name in VESSELS}
        organ = np.isin(mask.data, [self.liver, *self.lesions, *self.vessels.values()])
        x, y, z = find_objects(organ.astype(np.uint8))[0]
        self.box: Box = (x, y, z)
        self.labels = mask.data[self.box]
        start, shape = (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)
        self.grid: Grid = mask.grid.crop(start, shape)
        self.organ = organ[self.box]
        self.strides = tuple(max(1, round(CELL_MM / s)) for s in self.grid.spacing_mm)

    @cached_property
    def trunks(self) -> np.ndarray:
        """(X, Y, Z) the trunks and a voxel around them."""
        around: np.ndarray = binary_dilation(self.trunks_alone, ANY_NEIGHBOUR)
        return around

    @cached_property
    def trunks_alone(self) -> np.ndarray:
        """(X, Y, Z) vessels of at least `TRUNK_MM`, with the roots of their branches."""
        vessels = np.isin(self.labels, list(self.vessels.values()))
        # A box that fits into the tube: the square in a circle has 0.7 of its diameter.
        size = tuple(int(np.ceil(TRUNK_MM / np.sqrt(2) / s)) for s in self.grid.spacing_mm)
        thick = grey_opening(vessels.astype(np.uint8), size) > 0
        for _ in range(max(size) // 2):
            thick = binary_dilation(thick, mask=vessels)
        trunks: np.ndarray = thick
        return trunks

    @cached_property
    def tumours(self) -> tuple[RealTumour, ...]:
        """The lesions that touch the liver; specks are left out."""
        return tuple(self._tumours())

    @cached_property
    def voxels_of(self) -> np.ndarray:
        """(S + 1,) voxels of each label in the real mask."""
        return np.bincount(self.labels.ravel(), minlength=len(self.schema.names) + 1)

    def _tumours(self) -> Iterator[RealTumour]:
        for value in self.lesions:
            pieces, _ = label(self.labels == value, ANY_NEIGHBOUR)
            for number, (x, y, z) in enumerate(find_objects(pieces), start=1):
                voxels = pieces[x, y, z] == number
                around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in (x, y, z))
                beside = binary_dilation(pieces[around] == number) & (self.labels[around] == self.liver)
                if np.count_nonzero(voxels) >= SPECK_VOXELS and beside.any():
                    yield RealTumour(value, (x, y, z), voxels)

    def places(self, labels: np.ndarray, radius_mm: float) -> np.ndarray:
        """(K, 3) cells in which a tumour of this radius can have its centre.

        Args:
            labels: (X, Y, Z) the site's mask as it is now: its lesions are in the way.
            radius_mm: of the ball of its volume.
        """
        lesions = self._cells(np.isin(labels, self.lesions))
        free = (self._depth_mm >= CAPSULE * radius_mm) & (self._from_trunks_mm >= TRUNK * radius_mm)
        if lesions.any():
            free &= distance_transform_edt(~lesions, sampling=self._cell_mm) >= radius_mm + GAP_MM
        return np.argwhere(free)

    def voxel_in(self, rng: np.random.Generator, cell: np.ndarray) -> np.ndarray:
        """(3,) a random voxel of a cell."""
        voxel: np.ndarray = np.minimum(
            cell * self.strides + rng.integers(0, self.strides), np.array(self.grid.shape) - 1
        )
        return voxel

    @property
    def _cell_mm(self) -> list[float]:
        return [n * s for n, s in zip(self.strides, self.grid.spacing_mm, strict=True)]

    @cached_property
    def _depth_mm(self) -> np.ndarray:
        inside = np.pad(~self._cells(~self.organ), 1)
        depth: np.ndarray = distance_transform_edt(inside, sampling=self._cell_mm)[1:-1, 1:-1, 1:-1]
        return depth

    @cached_property
    def _from_trunks_mm(self) -> np.ndarray:
        trunks = self._cells(self.trunks)
        if not trunks.any():
            return np.full(trunks.shape, np.inf)
        distance: np.ndarray = distance_transform_edt(~trunks, sampling=self._cell_mm)
        return distance

    def _cells(self, voxels: np.ndarray) -> np.ndarray:
        """Whether each cell holds a voxel of a boolean structure."""
        cells = voxels
        for axis, stride in enumerate(self.strides):
            cells = np.logical_or.reduceat(cells, np.arange(0, cells.shape[axis], stride), axis=axis)
        return cells
