"""Where to look while a region is painted: one window around each part of it, or several where it is larger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.data.conform import Frame
from lldm_aug.geometry import Box, Grid
from lldm_aug.models.description import Description
from lldm_aug.models.layers import lowest_cell
from lldm_aug.volume import Volume

HALO = 8
"""Voxels of the surroundings that a window shows around a region, at least, where there is room."""

AT_ONCE = 4
"""Most windows in a batch."""


@dataclass(frozen=True)
class Window:
    """One step of painting.

    Args:
        grid: what the generator sees.
        core: the part of it whose region is painted in this step; the rest is another step's.
    """

    grid: Grid
    core: Grid

    def meets(self, other: Window) -> bool:
        """Whether one of the two shows what the other paints."""
        return _overlap(self.grid, other.core) or _overlap(other.grid, self.core)


def painting_grid(label_map: Volume, description: Description) -> Grid:
    """The grid at the generator's spacing on which windows lie, over a canonical mask.

    Of a generator that was trained on whole fields of view it is that field of view. Otherwise it covers the case, on
    its own voxels where the spacings agree.
    """
    if not description.windows:
        return Frame.around(label_map, description.shape, description.spacing_mm).grid
    return Frame.whole(label_map.grid, description.spacing_mm, least=(1, 1, 1), multiple=(1, 1, 1)).grid


def plan_windows(region: np.ndarray, grid: Grid, description: Description) -> Iterator[Window]:
    """The windows in which a region is painted, one after the other, so that later ones see what earlier ones painted.

    Args:
        region: (X, Y, Z) booleans on the painting grid.
        grid: the painting grid.
        description: of the generator.
    """
    remaining = region.copy()
    while remaining.any():
        parts, _ = label(remaining, ANY_NEIGHBOUR)
        x, y, z = find_objects(parts)[0]
        shown, core = _placed((x, y, z), grid, description)
        if not remaining[core].any():  # this corner of what holds the part has been painted: go on from a voxel
            first = np.argwhere(parts == 1)[0].tolist()
            x, y, z = (slice(start, side.stop) for start, side in zip(first, (x, y, z), strict=True))
            shown, core = _placed((x, y, z), grid, description)
        yield Window(grid.part(shown), grid.part(core))
        remaining[core] = False


def _placed(tight: Box, grid: Grid, description: Description) -> tuple[Box, Box]:
    """A window for a part of a region, and its core, which begins where the part does."""
    placed = [_along(side, grid.shape[axis], _side(axis, side, description)) for axis, side in enumerate(tight)]
    (x, y, z), (a, b, c) = zip(*placed, strict=True)
    return (x, y, z), (a, b, c)


def in_batches(windows: Iterable[Window]) -> list[list[Window]]:
    """The windows in batches of one size. One that meets an earlier one is painted in a later batch.

    So each sees what it would have seen if they had been painted one by one, and small ones cost less.
    """
    batches: list[list[Window]] = []
    for window in windows:
        met = [i for i, batch in enumerate(batches) if any(map(window.meets, batch))]
        for batch in batches[max(met, default=-1) + 1 :]:
            if batch[0].grid.shape == window.grid.shape and len(batch) < AT_ONCE:
                batch.append(window)
                break
        else:
            batches.append([window])
    return batches


def _overlap(one: Grid, other: Grid) -> bool:
    """Whether two parts of a grid have a voxel in common."""
    start = np.rint(one.to_voxels(other.affine[:3, 3]))
    return bool(np.all(start < one.shape) and np.all(start + other.shape > 0))


def _side(axis: int, tight: slice, description: Description) -> int:
    """Voxels of a window along an axis."""
    whole = description.shape[axis]
    if description.windows:
        return whole
    step = lowest_cell(description.compression, len(description.denoiser.channels))[axis]
    length: int = tight.stop - tight.start
    return min(whole, -(-(length + 2 * HALO) // step) * step)


def _along(tight: slice, size: int, side: int) -> tuple[slice, slice]:
    """A window of ``side`` voxels along an axis of ``size`` voxels, and its core.

    The core is all of the region's part where the window holds it with its surroundings, else as much as fits.
    """
    first, end = tight.start, tight.stop
    halo = min(HALO, side // 4)
    begin = (first + end - side) // 2 if end - first + 2 * halo <= side else first - halo
    begin = min(max(begin, 0), size - side) if side <= size else (size - side) // 2
    reach = begin + side if begin + side >= min(end, size) else begin + side - halo
    return slice(begin, begin + side), slice(first, min(end, reach))
