"""Masks as truncated signed distances: how deep each voxel lies in each structure, up to a truncation distance.

With truncated signed distances (Curless and Levoy, SIGGRAPH 1996) a network can see a vessel of one voxel from several
voxels away; in a label map it would have to find that single voxel. The way back leads to an anatomically clean label
map.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
    label,
    maximum_filter,
)

from lldm_aug.anatomy.reconnect import reconnect
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.validity import ANY_NEIGHBOUR, LESIONS, LIVER, SPECK_VOXELS, VESSELS

Spacing = tuple[float, float, float]


def parts_of_liver(schema: LabelSchema) -> tuple[str, ...]:
    """The structures that lie within the liver: its vessels and lesions, if there is a liver."""
    return tuple(name for name in schema.names if LIVER in schema.names and name in VESSELS | LESIONS)


def occupied(label: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """(S, X, Y, Z) booleans of an integer (X, Y, Z) mask: what each structure takes up, the liver with its parts."""
    structures = np.stack([label == value for value in schema.values.values()])
    parts = [schema.value(name) for name in parts_of_liver(schema)]
    if parts:
        structures[schema.value(LIVER) - 1] |= np.isin(label, parts)
    return structures


def depths(structures: np.ndarray, spacing_mm: Spacing, reach_mm: float) -> np.ndarray:
    """Signed distances to the surface of each structure, positive inside, as fractions of the truncation distance.

    Args:
        structures: (S, X, Y, Z) booleans.
        spacing_mm: voxel size.
        reach_mm: truncation distance.

    Returns:
        (S, X, Y, Z) float32 in [-1, 1].
    """
    return np.stack([_depth(structure, spacing_mm, reach_mm) for structure in structures])


def _depth(structure: np.ndarray, spacing_mm: Spacing, reach_mm: float) -> np.ndarray:
    depth = np.full(structure.shape, -1, dtype=np.float32)
    (tight,) = find_objects(structure.astype(np.uint8)) or (None,)
    if tight is None:
        return depth
    reach = [int(np.ceil(reach_mm / s)) + 1 for s in spacing_mm]
    box = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(tight, reach, strict=True))
    inside = structure[box]
    # Distances go to voxel centres; the surface lies half a voxel before the nearest one.
    half = float(np.prod(spacing_mm)) ** (1 / 3) / 2
    within = distance_transform_edt(inside, sampling=spacing_mm) if not inside.all() else np.full(inside.shape, np.inf)
    outside = distance_transform_edt(~inside, sampling=spacing_mm)
    signed = np.where(inside, np.maximum(within - half, 0), -np.maximum(outside - half, 0))
    depth[box] = np.clip(signed / reach_mm, -1, 1)
    return depth


LEAST_COMPONENTS = 0.1
"""Components with less than this share of a structure's largest one are dropped: they are noise, not anatomy."""
LEAST_LIMB = 0.2
"""The same share for those components of a vessel that no path joins to the others."""
SOFTNESS_MM = 2.0
"""Width of the logistic curve that turns a voxel's depth into how likely a vessel may pass through it."""


def assemble(depth_mm: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """The (X, Y, Z) int16 label map that signed distance fields describe.

    Each voxel is given to the organ that it lies deepest in, and within the liver to the vessel or lesion that it lies
    deepest in. Small fragments of organs and specks of lesions are removed. Vessels are joined where they came apart,
    and kept a voxel away from each other.

    Args:
        depth_mm: (S, X, Y, Z) signed distances to the surface of each structure, positive inside, the liver's with
            its parts (see `depths`).
        schema: the structures.
    """
    parts = [schema.value(name) for name in parts_of_liver(schema)]
    owner = _deepest(depth_mm, [value for value in schema.values.values() if value not in parts])
    mask = np.zeros_like(owner)
    for value in np.unique(owner[owner > 0]).tolist():
        mask[_components(owner == value, LEAST_COMPONENTS)] = value
    if parts:
        organ = binary_fill_holes(_components(mask == schema.value(LIVER), 1.0))
        mask[mask == schema.value(LIVER)] = 0
        mask[organ & (mask == 0)] = schema.value(LIVER)
        _put_parts(mask, depth_mm, schema, parts)
    return mask


def _deepest(depth_mm: np.ndarray, values: list[int]) -> np.ndarray:
    """(X, Y, Z) int16 label of the structure that a voxel lies deepest in; 0 outside all."""
    chosen = depth_mm[[value - 1 for value in values]]
    return np.where(chosen.max(axis=0) > 0, np.asarray(values, dtype=np.int16)[chosen.argmax(axis=0)], np.int16(0))


def _components(structure: np.ndarray, share: float, least: int = 1) -> np.ndarray:
    """The components of a structure that have this share of the largest one's voxels, and at least so many voxels."""
    components, _ = label(structure, ANY_NEIGHBOUR)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return np.isin(components, np.flatnonzero(sizes >= max(least, share * sizes.max())))


def _put_parts(mask: np.ndarray, depth_mm: np.ndarray, schema: LabelSchema, parts: list[int]) -> None:
    """Lays lesions and vessels into the liver."""
    organ = mask == schema.value(LIVER)
    owner = np.where(organ, _deepest(depth_mm, parts), np.int16(0))
    trees = [value for value in parts if schema.names[value - 1] in VESSELS]
    for value in [value for value in parts if value not in trees]:
        mask[_components(owner == value, 0.0, SPECK_VOXELS)] = value
    claims = np.zeros_like(owner)
    for value in trees:
        claims[_uncontested(owner, depth_mm, value, trees)] = value
    for value in trees:
        free = organ & ~binary_dilation((claims > 0) & (claims != value), ANY_NEIGHBOUR)
        tree = _tree((claims == value) & free, depth_mm[value - 1], free)
        claims[claims == value] = 0
        claims[tree] = value
    mask[claims > 0] = claims[claims > 0]


def _uncontested(owner: np.ndarray, depth_mm: np.ndarray, value: int, trees: list[int]) -> np.ndarray:
    """A tree's voxels, except for those beside a voxel that lies deeper in another tree."""
    rival = np.full(owner.shape, -np.inf, dtype=np.float32)
    for other in trees:
        if other != value:
            rival = np.maximum(rival, np.where(owner == other, depth_mm[other - 1], -np.inf))
    kept: np.ndarray = (owner == value) & (depth_mm[value - 1] >= maximum_filter(rival, size=3))
    return kept


def _tree(structure: np.ndarray, depth_mm: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The larger components of a vessel, after those that came apart were joined through free voxels."""
    share = np.where(free, 1 / (1 + np.exp(np.clip(-depth_mm / SOFTNESS_MM, -30, 30))), 0)
    return _components(reconnect(structure, share), LEAST_LIMB)
