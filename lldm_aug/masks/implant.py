"""Setting a tumour into its host structure: voxel by voxel until it has its volume, around what it must not touch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm
from lldm_aug.geometry import Box
from lldm_aug.masks.filling import Filling, crumbs, cut_off
from lldm_aug.masks.site import Site
from lldm_aug.masks.tumour_shapes import Shape

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
