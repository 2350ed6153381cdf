"""Which voxels a tumour takes: those that lie deepest in its shape, around what it must not touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, label

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.anatomy.tumour_sizes import ball_volume_mm3
from lldm_aug.geometry import Box, Grid

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
