"""The input of a network that paints a region of an image: it sees everything around the region and nothing inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lldm_aug.models.layers import Factors


def filled(image: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Images whose region is filled with a smooth continuation of what surrounds it (push-pull interpolation).

    No voxel of the region has any influence on the result. Without a voxel outside, the region is 0.

    Args:
        image: (B, C, X, Y, Z).
        region: (B, X, Y, Z) booleans, True where voxels are hidden.
    """
    seen = (~region[:, None]).to(image)
    return image * seen + _interpolated(image * seen, seen) * (1 - seen)


def _interpolated(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Means of weighted voxels, from coarser and coarser grids where finer ones have none.

    Args:
        weighted: (B, C, X, Y, Z) values times their weights.
        weight: (B, 1, X, Y, Z) weights.
    """
    sides = weighted.shape[2:]
    mean = weighted / weight.clamp(min=1e-6)
    if bool((weight > 0).all()) or max(sides) == 1:
        return mean
    kernel = [min(2, n) for n in sides]
    halved = [F.avg_pool3d(x, kernel, ceil_mode=True, count_include_pad=False) for x in (weighted, weight)]
    coarse = _interpolated(halved[0], halved[1])
    smooth = F.interpolate(coarse, sides, mode="trilinear", align_corners=False)
    share = weight.clamp(max=1)
    return mean * share + smooth * (1 - share)


def touched_cells(region: torch.Tensor, compression: Factors) -> torch.Tensor:
    """(B, 1, x, y, z) booleans: latent cells that hold a voxel of a (B, X, Y, Z) region."""
    return F.max_pool3d(region[:, None].float(), kernel_size=compression, stride=compression) > 0


def with_surroundings(condition: torch.Tensor, image: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """The condition of a network that is conditioned on the image around the region, and on the mask.

    Args:
        condition: (B, S, X, Y, Z) mask as `encode_mask` makes it.
        image: (B, C, X, Y, Z) scaled image; voxels of the region have no influence.
        region: (B, X, Y, Z) booleans, True where voxels are to be painted.

    Returns:
        (B, S + C + 1, X, Y, Z): the mask, the image with 0 in the region, and the region as 0 or 1.
    """
    hidden = region[:, None].to(image)
    return torch.cat([condition, torch.where(region[:, None], 0.0, image), hidden], dim=1)


def without_surroundings(condition: torch.Tensor, channels: int) -> torch.Tensor:
    """The condition when the whole image is painted: as `with_surroundings`, with nothing of the image visible.

    Args:
        condition: (B, S, X, Y, Z) mask.
        channels: of the image.
    """
    batch, _, *sides = condition.shape
    unseen = condition.new_zeros(batch, channels, *sides)
    return with_surroundings(condition, unseen, torch.ones(batch, *sides, dtype=torch.bool, device=condition.device))
