"""Setting a tumour into its host structure: voxel by voxel until it has its volume, around what it must not touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, label

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm, ball_volume_mm3
from lldm_aug.geometry import Box, Grid
from lldm_aug.masks.site import Site
from lldm_aug.masks.tumour_shapes import Shape

BENT = 0.3
"""How far from the surface of its shape a voxel of a tumour may lie, in radii."""
WHOLE = 0.97
"""Least share of a tumour that has to be one connected component."""


@dataclass(frozen=True)
class Filling:
    """A shape that is to be filled with voxels until it has its volume.

    Args:
        depth_mm: (x, y, z) distance from the shape's surface, negative inside.
        free: (x, y, z) which voxels may be taken.
        diameter_mm: of the ball of its volume.
        grid: whose voxels these are.
    """

    depth_mm: np.ndarray
    free: np.ndarray
    diameter_mm: float
    grid: Grid

    @property
    def wanted(self) -> int:
        """How many voxels its volume asks for."""
        return max(SPECK_VOXELS, round(ball_volume_mm3(self.diameter_mm) / self.grid.voxel_volume_mm3))

    def compact(self) -> np.ndarray | None:
        """(x, y, z) the tumour's voxels; None if it has to bend too far or falls apart."""
        wanted = self.wanted
        places = np.flatnonzero(self.free)
        if len(places) < wanted:
            return None
        depth = self.depth_mm.ravel()[places]
        chosen = np.argsort(depth, kind="stable")[:wanted]
        bend = BENT * self.diameter_mm / 2 + float(np.linalg.norm(self.grid.spacing_mm)) / 2
        if depth[chosen[-1]] > bend:
            return None
        tumour = np.zeros(self.free.shape, dtype=bool)
        tumour.ravel()[places[chosen]] = True
        components, _ = label(tumour, ANY_NEIGHBOUR)
        sizes = np.bincount(components.ravel())[1:]
        whole: np.ndarray = components == 1 + int(np.argmax(sizes))
        return whole if sizes.max() >= WHOLE * wanted else None

    def along_wall(self, centre: tuple[int, ...]) -> np.ndarray | None:
        """(x, y, z) the voxels of a tumour in a wall that may be thinner than it; None if there are too few.

        These are the free voxels up to some distance from the shape that are connected with the centre by their faces.
        The distance is the smallest one at which they are as many as the volume asks for. So the tumour never jumps to
        the other side of what the wall encloses.

        Args:
            centre: a free voxel.
        """
        wanted, found = self.wanted, None
        depth = np.where(self.free, self.depth_mm, np.inf)
        levels = np.sort(depth[self.free])
        low, high = wanted, len(levels)
        while low <= high:
            middle = (low + high) // 2
            whole = _around(centre, depth <= levels[middle - 1])
            if np.count_nonzero(whole) >= wanted:
                found, high = whole, middle - 1
            else:
                low = middle + 1
        if found is None:
            return None
        places = np.flatnonzero(found)
        chosen = np.zeros_like(found)
        chosen.ravel()[places[np.argsort(depth.ravel()[places], kind="stable")[:wanted]]] = True
        return _around(centre, chosen)


def _around(centre: tuple[int, ...], chosen: np.ndarray) -> np.ndarray:
    """The chosen voxels that are connected with the centre by faces; none if the centre is not chosen."""
    components, _ = label(chosen)
    around: np.ndarray = chosen & (components == components[centre])
    return around if chosen[centre] else np.zeros_like(chosen)


def cut_off(rest: np.ndarray) -> np.ndarray:
    """What a tumour encloses: components of the rest of its organ that do not reach the border of the box."""
    components, count = label(rest, ANY_NEIGHBOUR)
    inner = np.ones(count + 1, dtype=bool)
    inner[0] = False
    for axis in range(3):
        inner[np.take(components, [0, -1], axis=axis)] = False
    enclosed: np.ndarray = inner[components]
    return enclosed


def crumbs(host: np.ndarray, box: Box, tumour: np.ndarray) -> np.ndarray:
    """Specks that a tumour would leave of the wall beside it.

    Args:
        host: (X, Y, Z) booleans, the structures that it lies in, as they are without it.
        box: where the tumour lies.
        tumour: (x, y, z) booleans in the box.
    """
    rest, beside = host.copy(), np.zeros_like(host)
    rest[box] &= ~tumour
    beside[box] = tumour
    components, _ = label(rest, ANY_NEIGHBOUR)
    near = np.unique(components[binary_dilation(beside, ANY_NEIGHBOUR) & rest])
    small = near[np.bincount(components.ravel())[near] < SPECK_VOXELS]
    specks: np.ndarray = np.isin(components[box], small)
    return specks


PLACES = 16
"""Positions tried for a tumour."""
ROOM = 1.3
"""How far beyond its shape a tumour may grow where something is in its way."""
SPREAD = 3.0
"""The same for a tumour that is cut to a wall."""
ALIKE = 0.2
"""Largest difference of the depths in the wall between a copy's centre and the real tumour's."""
EVERYWHERE: Box = (slice(None), slice(None), slice(None))
MAX_CUT = 0.03
"""Largest share of a vessel that one tumour may overgrow."""


def implant(rng: np.random.Generator, site: Site, labels: np.ndarray, shape: Shape, value: int) -> float | None:
    """Sets a tumour into the labels where there is room for it, each place as likely.

    Returns:
        Its diameter in mm (see `ball_diameter_mm`); None if no place was found.
    """
    for centre in _centres(rng, site, labels, shape, value):
        facing = shape.facing(site.organ(value).wall.frame(centre)) if site.roles[value].lesion.cut else shape
        diameter = implant_at(site, labels, facing, value, centre)
        if diameter is not None:
            return diameter
    return None


def _centres(
    rng: np.random.Generator, site: Site, labels: np.ndarray, shape: Shape, value: int
) -> Iterator[np.ndarray]:
    """Voxels to try; in a wall those as deep in it as the shape's centre was, if it is a copy."""
    role = site.roles[value]
    if not role.lesion.cut:
        cells = site.places(labels, shape.diameter_mm / 2, value)
        for cell in rng.permutation(len(cells))[:PLACES]:
            yield site.voxel_in(rng, cells[cell])
        return
    free = site.free(labels, EVERYWHERE, role)
    if shape.depth is not None:
        alike = free & (np.abs(site.organ(value).wall.depth - shape.depth) <= ALIKE)
        free = alike if alike.any() else free
    centres = np.argwhere(free)
    yield from centres[rng.permutation(len(centres))[:PLACES]]


def implant_at(site: Site, labels: np.ndarray, shape: Shape, value: int, centre: np.ndarray) -> float | None:
    """Sets a tumour into the labels with its centre in this voxel.

    It takes the voxels of its host structure and thin branches that lie deepest in its shape, until it has its volume:
    beside the host's surface, a trunk or another tumour it grows to the other side. One that is cut to a wall spreads
    along it.

    Returns:
        Its diameter in mm; None, with nothing changed, if it does not fit.
    """
    role = site.roles[value]
    box = _box(site, shape, centre, SPREAD if role.lesion.cut else ROOM)
    here, free = labels[box], site.free(labels[box], box, role)
    offsets_mm = _offsets_mm(site, box, centre)
    fill = Filling(shape(offsets_mm), free, shape.diameter_mm, site.grid)
    within_box = tuple((centre - [s.start for s in box]).tolist())
    tumour = fill.along_wall(within_box) if role.lesion.cut else fill.compact()
    if tumour is None:
        return None
    if role.lesion.cut:
        enclosed = crumbs(np.isin(labels, role.within), box, tumour)
    else:
        enclosed = cut_off(site.organ(value).voxels[box] & ~tumour)
    if (enclosed & ~free).any() or _cuts_too_much(site, here, tumour | enclosed):
        return None
    tumour |= enclosed
    here[tumour] = value
    _set_parts(here, tumour, shape.parts(offsets_mm))
    return ball_diameter_mm(np.count_nonzero(tumour) * site.grid.voxel_volume_mm3)


def _set_parts(here: np.ndarray, tumour: np.ndarray, parts: list[tuple[int, float, np.ndarray]]) -> None:
    """Labels what a tumour holds: as large a share of it as it was of the real one, the voxels deepest in its shape."""
    for value, share, depth in parts:
        places = np.flatnonzero(tumour)
        deepest = np.argsort(depth.ravel()[places], kind="stable")[: round(share * len(places))]
        part = np.zeros(here.shape, dtype=bool)
        part.ravel()[places[deepest]] = True
        here[part] = value


def _box(site: Site, shape: Shape, centre: np.ndarray, room: float) -> Box:
    rows = np.linalg.norm(np.linalg.inv(site.grid.affine[:3, :3]), axis=1)
    reach = np.ceil(room * shape.reach_mm * rows).astype(int) + 1
    low = np.maximum(centre - reach, 0).tolist()
    high = np.minimum(centre + reach + 1, site.grid.shape).tolist()
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    return x, y, z


def _offsets_mm(site: Site, box: Box, centre: np.ndarray) -> np.ndarray:
    """(3, x, y, z) position of each voxel of a box from a voxel."""
    steps = np.indices([s.stop - s.start for s in box]) + (np.array([s.start for s in box]) - centre).reshape(
        3, 1, 1, 1
    )
    offsets: np.ndarray = np.tensordot(site.grid.affine[:3, :3], steps, axes=1)
    return offsets


def _cuts_too_much(site: Site, here: np.ndarray, tumour: np.ndarray) -> bool:
    lost = np.bincount(here[tumour], minlength=len(site.voxels_of))
    return any(lost[value] > MAX_CUT * site.voxels_of[value] for value in site.vessels.values())
