"""Setting a tumour into a liver: voxel by voxel until it has its volume, around what it must not touch."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, label

from lldm_aug.geometry import Box
from lldm_aug.masks.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.masks.site import Site
from lldm_aug.masks.tumour_shapes import Shape, volume_mm3
from lldm_aug.masks.tumour_sizes import ball_diameter_mm

PLACES = 16
"""Positions tried for a tumour."""
ROOM = 1.3
"""How far beyond its shape a tumour may grow where something is in its way."""
BENT = 0.3
"""How far from its shape's surface a voxel of it may lie, in radii."""
WHOLE = 0.97
"""Least share of it in one piece."""
MAX_CUT = 0.03
"""Largest share of a vessel that one tumour may overgrow."""


def implant(rng: np.random.Generator, site: Site, labels: np.ndarray, shape: Shape, value: int) -> float | None:
    """Sets a tumour into the labels where there is room for it, each place as likely.

    Returns:
        Its diameter in mm (see `ball_diameter_mm`); None if no place was found.
    """
    cells = site.places(labels, shape.diameter_mm / 2)
    for cell in rng.permutation(len(cells))[:PLACES]:
        diameter = implant_at(site, labels, shape, value, site.voxel_in(rng, cells[cell]))
        if diameter is not None:
            return diameter
    return None


def implant_at(site: Site, labels: np.ndarray, shape: Shape, value: int, centre: np.ndarray) -> float | None:
    """Sets a tumour into the labels with its centre in this voxel.

    It takes the voxels of liver and thin branches that lie deepest in its shape, until it has its volume: beside the
    liver's surface, a trunk or another tumour it grows to the other side.

    Returns:
        Its diameter in mm; None, with nothing changed, if it does not fit.
    """
    box = _box(site, shape, centre)
    here = labels[box]
    branches = np.isin(here, list(site.vessels.values())) & ~site.trunks[box]
    others = binary_dilation(np.isin(here, site.lesions), ANY_NEIGHBOUR)
    free = ((here == site.liver) | branches) & ~site.trunks[box] & ~others
    tumour = _fill(site, shape, free, _offsets_mm(site, box, centre))
    if tumour is None:
        return None
    enclosed = _enclosed(site.organ[box] & ~tumour)
    if (enclosed & ~free).any() or _cuts_too_much(site, here, tumour | enclosed):
        return None
    here[tumour | enclosed] = value
    return ball_diameter_mm(np.count_nonzero(tumour | enclosed) * site.grid.voxel_volume_mm3)


def _box(site: Site, shape: Shape, centre: np.ndarray) -> Box:
    rows = np.linalg.norm(np.linalg.inv(site.grid.affine[:3, :3]), axis=1)
    reach = np.ceil(ROOM * shape.reach_mm * rows).astype(int) + 1
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


def _fill(site: Site, shape: Shape, free: np.ndarray, offsets_mm: np.ndarray) -> np.ndarray | None:
    """(x, y, z) the tumour's voxels; None if it has to bend too far or falls apart."""
    wanted = max(SPECK_VOXELS, round(volume_mm3(shape) / site.grid.voxel_volume_mm3))
    places = np.flatnonzero(free)
    if len(places) < wanted:
        return None
    depth = shape(offsets_mm).ravel()[places]
    chosen = np.argsort(depth, kind="stable")[:wanted]
    bend = BENT * shape.diameter_mm / 2 + float(np.linalg.norm(site.grid.spacing_mm)) / 2
    if depth[chosen[-1]] > bend:
        return None
    tumour = np.zeros(free.shape, dtype=bool)
    tumour.ravel()[places[chosen]] = True
    pieces, _ = label(tumour, ANY_NEIGHBOUR)
    sizes = np.bincount(pieces.ravel())[1:]
    whole: np.ndarray = pieces == 1 + int(np.argmax(sizes))
    return whole if sizes.max() >= WHOLE * wanted else None


def _enclosed(rest: np.ndarray) -> np.ndarray:
    """What is cut off from the rest of the liver: the pieces that do not reach the box's border."""
    pieces, count = label(rest, ANY_NEIGHBOUR)
    inner = np.ones(count + 1, dtype=bool)
    inner[0] = False
    for axis in range(3):
        inner[np.take(pieces, [0, -1], axis=axis)] = False
    enclosed: np.ndarray = inner[pieces]
    return enclosed


def _cuts_too_much(site: Site, here: np.ndarray, tumour: np.ndarray) -> bool:
    lost = np.bincount(here[tumour], minlength=len(site.voxels_of))
    return any(lost[value] > MAX_CUT * site.voxels_of[value] for value in site.vessels.values())
