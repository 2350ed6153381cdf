"""Draws the detail that a decoded image lacks.

An autoencoder that is trained with an L1 error shows the median of all images that a latent may stand for: edges are
soft, and neither noise nor texture is left. What is missing is not one image but a distribution, so a small flow model
learns it (rectified flow, arXiv 2209.03003), at nearly full resolution, given the decoded image and the mask.
"""

from __future__ import annotations

from math import prod

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import nn

from lldm_aug.config.schema import ObjectiveSettings, RefinerSettings, SamplingSettings
from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth

FLOW = ObjectiveSettings(kind="flow")


class Refiner(nn.Module):
    """Noise, a decoded image and its mask to the image with all detail.

    Args:
        image_channels: channels C of the image.
        structures: channels S of the condition (see `encode_mask`).
        compression: voxels per latent cell along (X, Y, Z); the refiner works on half as fine a grid as the image along
            axes that are compressed.
        settings: sizes.
    """

    def __init__(
        self, image_channels: int, structures: int, compression: Factors, settings: RefinerSettings
    ) -> None:
        super().__init__()
        self.steps = settings.steps
        self.fold = fold_factors(compression)
        unfolded = prod(self.fold)
        levels = len(settings.channels)
        self.net = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=(2 * image_channels + structures) * unfolded,
            out_channels=image_channels * unfolded,
            num_res_blocks=(settings.num_res_blocks,) * levels,
            channels=settings.channels,
            attention_levels=(False,) * levels,
            norm_num_groups=settings.norm_groups,
            num_head_channels=settings.channels[-1],
            use_flash_attention=True,
        )
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.ones(image_channels))

    def forward(
        self, noisy: torch.Tensor, time: torch.Tensor, coarse: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        """Velocity of noisy detail (B, C, X, Y, Z) at network times (B,), in units of `scale`.

        Args:
            noisy: detail and noise.
            time: network times.
            coarse: (B, C, X, Y, Z) decoded image.
            condition: (B, S, X, Y, Z).
        """
        seen = torch.cat([noisy, coarse, condition], dim=1)
        return depth_to_space(self.net(space_to_depth(seen, self.fold), time), self.fold)

    def refine(self, coarse: torch.Tensor, condition: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The decoded image (B, C, X, Y, Z) with detail drawn from standard normal noise of its shape."""
        detail = sample(
            lambda noisy, time: self(noisy, time, coarse, condition), noise, FLOW, SamplingSettings(steps=self.steps)
        )
        return coarse + detail * self.units

    def detail(self, image: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """What the decoded image lacks, in units of `scale`."""
        return (image - coarse) / self.units

    @property
    def units(self) -> torch.Tensor:
        """`scale`, of a shape that images can be multiplied with."""
        return self.scale.view(1, -1, 1, 1, 1)


def fold_factors(compression: Factors) -> Factors:
    """Voxels along (X, Y, Z) that the refiner folds into channels."""
    x, y, z = (min(2, factor) for factor in compression)
    return x, y, z
