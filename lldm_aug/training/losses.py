"""Weights that keep small structures from being drowned by large ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lldm_aug.models.layers import Factors


def structure_weights(condition: torch.Tensor, strength: float) -> torch.Tensor:
    """Weights (B, 1, X, Y, Z) with mean 1: uniform, plus an extra share that each present structure gets alike.

    Without it a structure of 0.2 % of the voxels has 0.2 % of the loss; with strength w it has w / (number of
    structures) more.

    Args:
        condition: (B, S, X, Y, Z) as `encode_mask` makes it, or its mean over latent cells.
        strength: the extra share of the whole, 0 for uniform weights.
    """
    occupancy = condition.clamp(min=0)
    volume = occupancy.flatten(2).sum(-1)  # (B, S)
    present = (volume > 0).float()
    each = strength * present / present.sum(1, keepdim=True).clamp(min=1)
    extra = (occupancy * (each / volume.clamp(min=1e-6))[:, :, None, None, None]).sum(1, keepdim=True)
    cells = condition[0, 0].numel()
    weights = 1.0 + extra * cells
    return weights / weights.mean(dim=(2, 3, 4), keepdim=True)


def counted_mean(values: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """Mean over rows of the mean of each row's values (B, C, X, Y, Z), weighted by (B, 1, X, Y, Z), None for alike."""
    if counted is None:
        return values.mean()
    sums = (values * counted).flatten(1).sum(1), counted.flatten(1).sum(1) * values.shape[1]
    return (sums[0] / sums[1].clamp(min=1e-6)).mean()


def latent_occupancy(condition: torch.Tensor, compression: Factors) -> torch.Tensor:
    """Share (B, S, x, y, z) of each latent cell that each structure fills; unknown counts as none."""
    return F.avg_pool3d(condition.clamp(min=0), kernel_size=compression, stride=compression)


def soft_dice_loss(probability: torch.Tensor, truth: torch.Tensor, smooth: float = 0.0) -> torch.Tensor:
    """One minus the mean soft Dice of the structures that a batch shows (V-Net, arXiv 1606.04797), over all its voxels.

    Args:
        probability: (B, S, X, Y, Z), zero where a voxel does not count.
        truth: (B, S, X, Y, Z) zeros and ones, likewise.
        smooth: added to both parts of the fraction.
    """
    common, size, total = (t.sum((0, 2, 3, 4)) for t in (probability * truth, truth, probability + truth))
    score = (2 * common + smooth) / (total + smooth).clamp(min=1)
    shown = size > 0
    return ((1 - score) * shown).sum() / shown.sum().clamp(min=1)
