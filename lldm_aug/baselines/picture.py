"""What networks that make voxels learn: the image, and as one more channel where it is not exactly zero."""

from __future__ import annotations

import torch

from lldm_aug.training.cases import PreparedCase

SUREST = 1e-4
"""No voxel is likelier than this to be the opposite of what the channel says."""


def picture_of(case: PreparedCase) -> torch.Tensor:
    """(C + 1, X, Y, Z): the scaled image, and the share of each voxel that is not exactly zero, from -1 to 1."""
    return torch.cat([case.image, case.foreground[None] * 2 - 1])


def image_of(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The images (B, C, X, Y, Z) and foreground logits (B, X, Y, Z) of (B, C + 1, X, Y, Z) pictures."""
    share = (picture[:, -1].float() + 1) / 2
    return picture[:, :-1], torch.logit(share.clamp(SUREST, 1 - SUREST))
