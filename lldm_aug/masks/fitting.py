"""Fits masks to a generator's grid, so that the mask that is written is exactly the one the image was made for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.ndimage import find_objects
from scipy.ndimage import label as number_components

from lldm_aug.anatomy.limits import DEFAULT_LIMITS, Limits
from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.data.conform import Frame
from lldm_aug.data.resample import canonical_grid, from_canonical, inside, resample, to_canonical
from lldm_aug.geometry import Box, Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.components import Component, settle
from lldm_aug.masks.validity import mask_problems
from lldm_aug.volume import Volume

LEAST_VOXELS = 0.5
"""A component of less volume, in voxels of the new grid, is left out: a whole voxel would show too much of it."""


@dataclass(frozen=True)
class Fitted:
    """A mask on its own grid and on the generator's.

    Args:
        label: (X, Y, Z) int16 on a part of the mask's own grid.
        shown: the same int16 labels on the generator's grid, in canonical axes.
    """

    label: Volume
    shown: Volume


class Fit(Protocol):
    """Brings an anatomically valid mask to where it is used."""

    def __call__(self, mask: Volume, schema: LabelSchema, limits: Limits | None, /) -> tuple[Fitted, list[str]]:
        """The fitted mask, and what is wrong with it now.

        Args:
            mask: (X, Y, Z) int16 labels.
            schema: what they stand for.
            limits: bounds that it has to keep; None if it comes from a real mask, which only must not get worse.
        """


def as_drawn(mask: Volume, schema: LabelSchema, limits: Limits | None) -> tuple[Fitted, list[str]]:
    """For no generator: the mask as it is; see `Fit`."""
    return Fitted(mask, mask), []


def fit_to(
    mask: Volume,
    schema: LabelSchema,
    limits: Limits | None,
    *,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> tuple[Fitted, list[str]]:
    """Brings a mask to a generator's grid, and back to the part of its own grid that the generator's covers.

    Every connected component stays one, and thin ones keep their volume. A mask on the generator's grid stays as it is.

    Args:
        mask: see `Fit`.
        schema: see `Fit`.
        limits: see `Fit`.
        shape: voxels of the generator's grid along (X, Y, Z) in canonical axes.
        spacing_mm: its voxel size.

    Raises:
        InvalidVolume: when the generator's grid does not meet the mask's.
    """
    frame = Frame.around(mask, shape, spacing_mm)
    if frame.grid.matches(frame.canonical):
        return Fitted(mask, Volume(to_canonical(mask.data, mask.grid), frame.grid)), []
    before = cropped(mask, frame.native_view())
    canonical = canonical_grid(before.grid)
    shown = moved(to_canonical(before.data, before.grid), canonical, frame.grid)
    label = from_canonical(moved(shown, frame.grid, canonical), before.grid)
    return Fitted(Volume(label, before.grid), Volume(shown, frame.grid)), judged(label, before.data, schema, limits)


def judged(label: np.ndarray, before: np.ndarray, schema: LabelSchema, limits: Limits | None) -> list[str]:
    """What is wrong with a mask (X, Y, Z) that was made from another one; schema and limits are those of `Fit`."""
    return mask_problems(label, schema, before if limits is None else None, limits=limits or DEFAULT_LIMITS)


def fit_valid(
    mask: Volume, problems: list[str], fit: Fit, schema: LabelSchema, limits: Limits | None = None
) -> tuple[Fitted, list[str]]:
    """Fits a mask if nothing is wrong with it as it was drawn; arguments and results as of `Fit`."""
    return (Fitted(mask, mask), problems) if problems else fit(mask, schema, limits)


def cropped(volume: Volume, part: Grid) -> Volume:
    """A volume (X, Y, Z) on a grid that is a part of its own."""
    start = np.rint(volume.grid.to_voxels(part.affine[:3, 3])).astype(int)
    return Volume(volume.data[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))], part)


def moved(labels: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """(X, Y, Z) int16 labels on a grid with parallel axes: each voxel takes the likeliest (see `settle`)."""
    return settle(list(_components(labels, source, target)), target.shape)


def _components(labels: np.ndarray, source: Grid, target: Grid) -> Iterator[Component]:
    """The connected components of each structure on the target grid, without those that are too small for it."""
    for value in np.unique(labels[labels > 0]).tolist():
        numbers, _ = number_components(labels == value, ANY_NEIGHBOUR)
        components = []
        for number, tight in enumerate(find_objects(numbers), start=1):
            here, there = _boxes(tight, source, target)
            if all(s.stop > s.start for s in there):
                part = target.part(there)
                share = resample(numbers[here] == number, source.part(here), part)
                components.append(Component(value, there, np.where(inside(source, part), share, np.float32(0))))
        filled = [float(component.share.sum()) for component in components]
        yield from (p for p, voxels in zip(components, filled, strict=True) if voxels >= min(LEAST_VOXELS, max(filled)))


def _boxes(tight: tuple[slice, ...], source: Grid, target: Grid) -> tuple[Box, Box]:
    """What to resample for a structure in a box of the source, and the box of the target that it can reach."""
    mapping = np.linalg.inv(source.affine) @ target.affine
    step, start = np.diag(mapping)[:3], mapping[:3, 3]
    reach = np.maximum(step, 1)  # of the kernel of `resample`
    low, high = np.array([s.start for s in tight]), np.array([s.stop - 1 for s in tight])
    first, last = np.ceil((low - reach - start) / step), np.floor((high + reach - start) / step)
    around = np.ceil(2 * reach) + 1  # all that the kernel sees from there
    return _box(low - around, high + around, source.shape), _box(first, last, target.shape)


def _box(first: np.ndarray, last: np.ndarray, shape: tuple[int, int, int]) -> Box:
    ends = zip(first.astype(int).tolist(), last.astype(int).tolist(), shape, strict=True)
    x, y, z = (slice(min(max(0, a), n), max(0, min(n, b + 1))) for a, b, n in ends)
    return x, y, z
