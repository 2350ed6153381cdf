"""Masks as truncated signed distances: how deep each voxel lies in each structure, up to a truncation distance.

With truncated signed distances (Curless and Levoy, SIGGRAPH 1996) a network can see a vessel of one voxel from several
voxels away; in a label map it would have to find that single voxel.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from lldm_aug.labels import LabelSchema
from lldm_aug.masks.validity import LESIONS, LIVER, VESSELS

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
