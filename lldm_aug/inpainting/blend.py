"""Laying a painted region into its host: no seam, the host's own noise, and not a voxel changed outside."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lldm_aug.anatomy.measures import box_around
from lldm_aug.models.texture import KERNEL_VOXELS, SMOOTHING_VOXELS

SOFT_MM = 4.0
"""Width of the border over which the host turns into what was painted, inside of the region."""


def blended(
    host: np.ndarray, painted: np.ndarray, region: np.ndarray, spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """A host with a region of another image, softly from the region's border inwards.

    Texture keeps its strength in the border: the mean of two independent textures would have less than either.

    Args:
        host: (C, X, Y, Z) float32.
        painted: likewise; only the region matters.
        region: (X, Y, Z) booleans, some of them True.
        spacing_mm: voxel size.

    Returns:
        (C, X, Y, Z) float32, equal to the host outside of the region.
    """
    box = box_around(region, (KERNEL_VOXELS,) * 3)
    inside = region[box]
    depth_mm = distance_transform_edt(np.pad(inside, 1, mode="edge"), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    share = np.clip(depth_mm / SOFT_MM, 0, 1).astype(np.float32)
    texture_shares = np.sqrt(share**2 + (1 - share) ** 2)
    out = host.copy()
    for channel, (real, new) in enumerate(zip(host, painted, strict=True)):
        before, after = real[box], np.where(inside, new[box], real[box])
        smooth_before, smooth_after = (gaussian_filter(x, SMOOTHING_VOXELS) for x in (before, after))
        fine = (1 - share) * (before - smooth_before) + share * (after - smooth_after)
        mixed = (1 - share) * smooth_before + share * smooth_after + fine / texture_shares
        out[channel][box] = np.where(inside, mixed, before)
    return out
