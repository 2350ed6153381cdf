"""Which voxels of a host are painted anew."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy.ndimage import distance_transform_edt

from lldm_aug.errors import LabelError
from lldm_aug.geometry import Box
from lldm_aug.inpainting import DEFAULT_MARGIN_MM
from lldm_aug.labels import LabelSchema


def choose_region(
    kind: str,
    before: np.ndarray,
    after: np.ndarray,
    schema: LabelSchema,
    lesions: Collection[str],
    spacing_mm: tuple[float, float, float],
    margin_mm: float = DEFAULT_MARGIN_MM,
) -> np.ndarray:
    """(X, Y, Z) booleans: the voxels to paint anew.

    Args:
        kind: ``edits`` for voxels whose label changed, ``lesions`` for those and all lesions, ``organ`` for those and
            all labelled voxels.
        before: (X, Y, Z) the host's own mask.
        after: (X, Y, Z) the mask to paint for.
        schema: what both stand for.
        lesions: names of the lesions.
        spacing_mm: voxel size.
        margin_mm: how far around these voxels is painted, too.

    Raises:
        LabelError: when there is nothing to paint.
    """
    chosen = before != after
    if kind == "lesions":
        values = [schema.value(name) for name in lesions]
        chosen |= np.isin(before, values) | np.isin(after, values)
    elif kind == "organ":
        chosen |= (before > 0) | (after > 0)
    if not chosen.any():
        what = {"edits": "no label changed", "lesions": "neither mask has a lesion", "organ": "both masks are empty"}
        raise LabelError(f"nothing to paint: {what[kind]}", fix="choose another --region, or masks of kind 'edited'")
    return grown(chosen, spacing_mm, margin_mm)


def grown(voxels: np.ndarray, spacing_mm: tuple[float, float, float], margin_mm: float) -> np.ndarray:
    """Some (X, Y, Z) voxels, one at least, and all that are no further away from one of them than a margin."""
    box = box_around(voxels, np.ceil(margin_mm / np.asarray(spacing_mm)).astype(int).tolist())
    region: np.ndarray = np.zeros_like(voxels)
    region[box] = distance_transform_edt(~voxels[box], sampling=spacing_mm) <= margin_mm
    return region


def box_around(voxels: np.ndarray, reach: Collection[int]) -> Box:
    """The box of all True voxels (X, Y, Z), wider by so many voxels along each axis, as far as the grid goes."""
    sides = []
    for axis, more in enumerate(reach):
        found = np.flatnonzero(voxels.any(axis=tuple(a for a in range(3) if a != axis)))
        sides.append(slice(max(0, int(found[0]) - more), min(voxels.shape[axis], int(found[-1]) + more + 1)))
    x, y, z = sides
    return x, y, z
