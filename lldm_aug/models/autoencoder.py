"""Autoencoder with a space-to-depth stem and a decoder head that sees the mask.

A plain autoencoder trained with L1 erases vessels of one or two voxels. The mask is known when an image is generated,
so the head is given it at full resolution, and thin structures need not pass through the latent.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from monai.networks.nets.autoencoderkl import AutoencoderKL
from torch import nn

from lldm_aug.config.schema import AutoencoderSettings
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth
from lldm_aug.models.linear_code import LinearCode

START_LOG_VARIANCE = -8.0
"""At the start, latents (of variance 1) are spread around their mean with a standard deviation of 0.02."""


class Autoencoder(nn.Module):
    """Maps an image to the mean and standard deviation of its latent, and a latent with a mask to an image.

    Args:
        image_channels: channels C of the image.
        structures: channels S of the condition (see `encode_mask`).
        compression: voxels per latent cell along (X, Y, Z), powers of two.
        settings: sizes.
    """

    def __init__(
        self, image_channels: int, structures: int, compression: Factors, settings: AutoencoderSettings
    ) -> None:
        super().__init__()
        # What AutoencoderKL compresses (equally along all axes) and what the stem does before it (as the spacing asks).
        levels = min(len(settings.channels), 1 + min(compression).bit_length() - 1)
        inner = 2 ** (levels - 1)
        self.stem: Factors = (compression[0] // inner, compression[1] // inner, compression[2] // inner)
        self.mask_aware = settings.mask_aware
        latents = settings.resolved(compression, image_channels).latents
        unfolded = self.stem[0] * self.stem[1] * self.stem[2]
        self.core = AutoencoderKL(
            spatial_dims=3,
            in_channels=image_channels * unfolded,
            out_channels=settings.head_channels,
            channels=settings.channels[-levels:],
            num_res_blocks=(settings.num_res_blocks,) * levels,
            attention_levels=(False,) * levels,
            latent_channels=latents,
            norm_num_groups=settings.norm_groups,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        self.shortcut = LinearCode(image_channels, latents, compression) if settings.shortcut else None
        seen = settings.head_channels + (structures * unfolded if settings.mask_aware else 0)
        self.head = nn.Sequential(
            nn.Conv3d(seen, settings.head_channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(settings.head_channels, settings.head_channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(settings.head_channels, (image_channels + 1) * unfolded, 3, padding=1),
        )

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (B, L, X / cx, Y / cy, Z / cz) of a latent of a scaled (B, C, X, Y, Z) image."""
        mean, deviation = self.core.encode(space_to_depth(image, self.stem))
        return (mean if self.shortcut is None else mean + self.shortcut.encode(image)), deviation

    def decode(self, latent: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled image (B, C, X, Y, Z), and the logit (B, X, Y, Z) that a voxel is not exactly zero in the data."""
        hidden = self.core.decode(latent)
        if self.mask_aware:
            hidden = torch.cat([hidden, space_to_depth(condition, self.stem)], dim=1)
        out = depth_to_space(self.head(hidden), self.stem)
        image, logit = out[:, :-1], out[:, -1]
        return (image if self.shortcut is None else image + self.shortcut.decode(latent)), logit

    @torch.no_grad()
    def start_linear(self, volumes: Iterable[torch.Tensor]) -> None:
        """Sets the shortcut to the best linear code of (C, X, Y, Z) volumes; the networks add nothing to it yet."""
        if self.shortcut is None:
            return
        self.shortcut.fit(volumes)
        for layer in (self.core.quant_conv_mu, self.core.quant_conv_log_sigma, self.head[-1]):
            for parameter in layer.parameters():
                parameter.zero_()
        self.core.quant_conv_log_sigma.conv.bias.fill_(START_LOG_VARIANCE)

    def forward(
        self, image: torch.Tensor, condition: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass for training: reconstruction, foreground logit, latent mean and standard deviation."""
        mean, deviation = self.encode(image)
        reconstruction, logit = self.decode(mean + deviation * noise, condition)
        return reconstruction, logit, mean, deviation
