"""How far apart the surfaces of two structures are, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

Spacing = tuple[float, float, float]
OUTLYING = 95
"""Percentile of distances that the robust Hausdorff distance takes instead of the maximum."""


@dataclass(frozen=True)
class SurfaceAgreement:
    """Two figures of one pair of structures.

    Args:
        nsd: normalised surface Dice: share of both surfaces that lies within the tolerance of the other one
            (Nikolov et al., arXiv 1809.04430), each voxel of a surface counted once.
        hd95_mm: the larger of the two directed distances that 95 % of a surface stay below.
    """

    nsd: float
    hd95_mm: float


def surface_agreement(one: np.ndarray, other: np.ndarray, spacing_mm: Spacing, tolerance_mm: float) -> SurfaceAgreement:
    """Compares the surfaces of two boolean (X, Y, Z) structures; a surface are the voxels with a face to the outside.

    Both empty gives NaN. Only one empty gives an NSD of 0 and, as HD95, the diagonal of the grid: no distance is
    defined there, and none could be larger.
    """
    if not one.any() or not other.any():
        diagonal = float(np.linalg.norm(np.asarray(one.shape) * spacing_mm))
        both = one.any() == other.any()
        return SurfaceAgreement(float("nan"), float("nan")) if both else SurfaceAgreement(0.0, diagonal)
    (box,) = find_objects((one | other).astype(np.uint8))
    first, second = _surface(one[box]), _surface(other[box])
    there = distance_transform_edt(~second, sampling=spacing_mm)[first]
    back = distance_transform_edt(~first, sampling=spacing_mm)[second]
    near = np.count_nonzero(there <= tolerance_mm) + np.count_nonzero(back <= tolerance_mm)
    hd95 = max(float(np.percentile(there, OUTLYING)), float(np.percentile(back, OUTLYING)))
    return SurfaceAgreement(near / (there.size + back.size), hd95)


def _surface(structure: np.ndarray) -> np.ndarray:
    surface: np.ndarray = structure & ~binary_erosion(structure)
    return surface
