"""Healthy tissue in a painted region goes on as it is around it: what a lesion left behind is no shade of its own."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lldm_aug.models.region import filled

SLOW_VOXELS = 3.0
"""Standard deviation of the Gaussian whose result counts as slow variation, such as shading; the rest is texture."""
FEWEST_VOXELS = 200
"""Of a tissue around the region that say how it goes on."""
RIM_VOXELS = 1.5
"""Of the finest axis: nearer to another structure a tissue has something of that one's look, and says nothing."""


def continued(
    shown: np.ndarray,
    seen: np.ndarray,
    tissue: np.ndarray,
    hidden: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> np.ndarray:
    """An image whose slow variation within a tissue is that of the surroundings, continued into the region.

    A generator that does not see far may paint a hole in a tissue brighter or darker than what is around it. Its
    texture is kept, and so is its rim beside other structures, which is blurred into them.

    Args:
        shown: (C, X, Y, Z) what was painted.
        seen: likewise, the host.
        tissue: (X, Y, Z) booleans of one structure, after the edits.
        hidden: (X, Y, Z) booleans of the region.
        spacing_mm: voxel size.

    Returns:
        (C, X, Y, Z); the image itself where too little of the tissue is around the region.
    """
    depth = distance_transform_edt(tissue, sampling=np.divide(spacing_mm, min(spacing_mm)))
    deep = depth > RIM_VOXELS
    around, inner = deep & ~hidden, deep & hidden
    if not inner.any() or around.sum() < FEWEST_VOXELS:
        return shown
    expected = filled(torch.from_numpy(seen)[None].float(), torch.from_numpy(~around)[None])[0].numpy()
    weight = np.maximum(gaussian_filter(inner.astype(np.float32), SLOW_VOXELS), 1e-6)
    off = [gaussian_filter(np.where(inner, error, 0), SLOW_VOXELS) / weight for error in expected - shown]
    continued: np.ndarray = shown + np.where(tissue & hidden, np.stack(off), 0)
    return continued
