"""The part of a real mask that can have lesions: its vessels, its lesions, and where there is free space for others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, grey_opening, label

from lldm_aug.anatomy.declaration import Anatomy, Lesion, default_anatomy
from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm
from lldm_aug.geometry import Box, Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.tumour_shapes import Copy
from lldm_aug.masks.wall import Wall
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
    """One lesion of a real mask, with what it holds.

    Args:
        value: its label.
        box: where it lies in the site.
        voxels: (x, y, z) booleans in the box.
        held: (x, y, z) booleans of what it holds, by label.
    """

    value: int
    box: Box
    voxels: np.ndarray
    held: dict[int, np.ndarray]


@dataclass(frozen=True)
class Role:
    """A lesion of the anatomy in the integers of a schema.

    Args:
        value: its label.
        within: those of what it lies in.
        holds: those of what may lie in it.
        lesion: what else is known of it.
    """

    value: int
    within: tuple[int, ...]
    holds: tuple[int, ...]
    lesion: Lesion


class Site:
    """The part of a mask that holds lesions, the structures that they lie in, and vessels.

    Args:
        mask: (X, Y, Z) labels, some of them of a structure that a lesion lies in.
        schema: what they stand for.
        anatomy: which of them are lesions; that of a liver if left out.
    """

    def __init__(self, mask: Volume, schema: LabelSchema, anatomy: Anatomy | None = None) -> None:
        anatomy = anatomy or default_anatomy(schema)
        self.schema = schema
        self.roles = {role.value: role for role in roles_of(anatomy, schema)}
        self.lesions = tuple(self.roles)
        self.editable = tuple(schema.value(name) for name in schema.names if name in anatomy.editable)
        self.vessels = {name: value for name, value in schema.values.items() if name in anatomy.vessels}
        self.hosts = tuple(sorted({value for role in self.roles.values() for value in role.within}))
        organ = np.isin(mask.data, [*self.hosts, *self.editable, *self.vessels.values()])
        x, y, z = find_objects(organ.astype(np.uint8))[0]
        self.box: Box = (x, y, z)
        self.labels = mask.data[self.box]
        start, shape = (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)
        self.grid: Grid = mask.grid.crop(start, shape)
        self.strides = tuple(max(1, round(CELL_MM / s)) for s in self.grid.spacing_mm)
        self.present = {value for value, voxels in enumerate(self.voxels_of.tolist()) if voxels}
        self._organs: dict[tuple[int, ...], Organ] = {}

    def organ(self, value: int) -> Organ:
        """What a lesion lies in."""
        within = self.roles[value].within
        if within not in self._organs:
            self._organs[within] = Organ(self, within)
        return self._organs[within]

    @cached_property
    def trunks(self) -> np.ndarray:
        """(X, Y, Z) the trunks and a voxel around them."""
        around: np.ndarray = binary_dilation(self.trunks_alone, ANY_NEIGHBOUR)
        return around

    @cached_property
    def trunks_alone(self) -> np.ndarray:
        """(X, Y, Z) vessels of at least `TRUNK_MM`, with the roots of their branches."""
        vessels = np.isin(self.labels, list(self.vessels.values()))
        if not vessels.any():
            return vessels
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
        for value, role in self.roles.items():
            components, _ = label(np.isin(self.labels, [value, *role.holds]), ANY_NEIGHBOUR)
            for number, (x, y, z) in enumerate(find_objects(components), start=1):
                voxels, here = components[x, y, z] == number, self.labels[x, y, z]
                around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in (x, y, z))
                beside = binary_dilation(components[around] == number) & np.isin(self.labels[around], role.within)
                if np.count_nonzero(voxels) >= SPECK_VOXELS and beside.any() and (here[voxels] == value).any():
                    held = {part: voxels & (here == part) for part in role.holds if (here[voxels] == part).any()}
                    yield RealTumour(value, (x, y, z), voxels, held)

    def diameter_mm(self, tumour: RealTumour) -> float:
        """Diameter of the ball of a lesion's volume."""
        return ball_diameter_mm(tumour.voxels.sum() * self.grid.voxel_volume_mm3)

    def copy(self, tumour: RealTumour) -> Copy:
        """A copy of one of its lesions, as it is."""
        axes = self.grid.affine[:3, :3]
        copy = Copy.of(tumour.voxels, axes, tumour.held)
        if not self.roles[tumour.value].lesion.cut:
            return copy
        centre, wall = self.centre(tumour, copy), self.organ(tumour.value).wall
        return replace(copy, frame=wall.frame(centre), depth=float(wall.depth[tuple(centre)]))

    def centre(self, tumour: RealTumour, copy: Copy) -> np.ndarray:
        """(3,) the voxel of a lesion that is its copy's centre."""
        centre: np.ndarray = copy.centre_in_tumour + [s.start for s in tumour.box]
        return centre

    def restore(self, labels: np.ndarray, voxels: np.ndarray, within: tuple[int, ...]) -> None:
        """Gives voxels to the structures that lie nearest.

        Args:
            labels: (x, y, z) a part of the site's mask; changed in place.
            voxels: (x, y, z) booleans.
            within: labels of these structures; some of their voxels are there if there are several.
        """
        if len(within) == 1:
            labels[voxels] = within[0]
            return
        others = ~np.isin(labels, within) | voxels
        nearest = distance_transform_edt(
            others, sampling=self.grid.spacing_mm, return_distances=False, return_indices=True
        )
        labels[voxels] = labels[tuple(axis[voxels] for axis in nearest)]

    def places(self, labels: np.ndarray, radius_mm: float, value: int) -> np.ndarray:
        """(K, 3) cells in which a lesion of this radius can have its centre.

        Args:
            labels: (X, Y, Z) the site's mask as it is now: its lesions are in the way.
            radius_mm: of the ball of its volume.
            value: its label.
        """
        lesions = self.cells(np.isin(labels, self.editable))
        free = (self.organ(value).depth_mm >= CAPSULE * radius_mm) & (self._from_trunks_mm >= TRUNK * radius_mm)
        if lesions.any():
            free &= distance_transform_edt(~lesions, sampling=self.cell_mm) >= radius_mm + GAP_MM
        return np.argwhere(free)

    def free(self, here: np.ndarray, box: Box, role: Role) -> np.ndarray:
        """(x, y, z) which voxels of a part of the mask, as it is now, a lesion may take.

        Args:
            here: (x, y, z) its labels.
            box: where it lies.
            role: of the lesion.
        """
        branches = np.isin(here, list(self.vessels.values())) & ~self.trunks[box]
        others = binary_dilation(np.isin(here, self.editable), ANY_NEIGHBOUR)
        free: np.ndarray = (np.isin(here, role.within) | branches) & ~self.trunks[box] & ~others
        return free

    def voxel_in(self, rng: np.random.Generator, cell: np.ndarray) -> np.ndarray:
        """(3,) a random voxel of a cell."""
        voxel: np.ndarray = np.minimum(
            cell * self.strides + rng.integers(0, self.strides), np.array(self.grid.shape) - 1
        )
        return voxel

    @property
    def cell_mm(self) -> list[float]:
        """Sides of a cell."""
        return [n * s for n, s in zip(self.strides, self.grid.spacing_mm, strict=True)]

    @cached_property
    def _from_trunks_mm(self) -> np.ndarray:
        trunks = self.cells(self.trunks)
        if not trunks.any():
            return np.full(trunks.shape, np.inf)
        distance: np.ndarray = distance_transform_edt(~trunks, sampling=self.cell_mm)
        return distance

    def cells(self, voxels: np.ndarray) -> np.ndarray:
        """Whether each cell holds a voxel of a boolean structure."""
        cells = voxels
        for axis, stride in enumerate(self.strides):
            if stride == 1:
                continue
            cells = np.logical_or.reduceat(cells, np.arange(0, cells.shape[axis], stride), axis=axis)
        return cells


class Organ:
    """The structures that a lesion lies in, with all that lies in them.

    Args:
        site: the mask.
        within: labels of the structures.
    """

    def __init__(self, site: Site, within: tuple[int, ...]) -> None:
        self.site = site
        self.voxels = np.isin(site.labels, [*within, *site.editable, *site.vessels.values()])

    @cached_property
    def depth_mm(self) -> np.ndarray:
        """Distance of each cell from the surface."""
        inside = np.pad(~self.site.cells(~self.voxels), 1)
        depth: np.ndarray = distance_transform_edt(inside, sampling=self.site.cell_mm)[1:-1, 1:-1, 1:-1]
        return depth

    @cached_property
    def wall(self) -> Wall:
        """How it runs around what it encloses."""
        return Wall(self.voxels, self.site.grid)

    @cached_property
    def diameter_mm(self) -> float:
        """Diameter of the ball of its volume."""
        return ball_diameter_mm(np.count_nonzero(self.voxels) * self.site.grid.voxel_volume_mm3)


def roles_of(anatomy: Anatomy, schema: LabelSchema) -> tuple[Role, ...]:
    """The lesions of an anatomy in the order of their integers."""

    def values(names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(sorted(schema.value(name) for name in names))

    lesions = sorted((schema.value(name), lesion) for name, lesion in anatomy.lesions.items())
    return tuple(Role(value, values(lesion.within), values(lesion.holds), lesion) for value, lesion in lesions)
