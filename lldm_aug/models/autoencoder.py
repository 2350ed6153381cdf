"""Autoencoder with a space-to-depth stem, a linear shortcut and a decoder head that sees the mask.

A plain autoencoder trained with L1 erases vessels of one or two voxels. The mask is known when an image is generated,
so the head is given it at full resolution, and thin structures need not pass through the latent.

An autoencoder trained from random weights spends most of a small budget on what principal components give at once.
With them as a shortcut from voxels to latent and back, its networks learn only what a linear code misses (after the
residual autoencoding of arXiv 2410.10733, whose shortcuts have no weights).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from monai.networks.nets.autoencoderkl import AutoencoderKL
from torch import nn

from lldm_aug.config.schema import AutoencoderSettings
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth


class LinearCode(nn.Module):
    """Maps each block of voxels to its latent cell by one matrix, and back by another.

    Args:
        channels: channels C of the image.
        latent_channels: channels L of the latent.
        compression: voxels per latent cell along (X, Y, Z).
    """

    def __init__(self, channels: int, latent_channels: int, compression: Factors) -> None:
        super().__init__()
        self.compression = compression
        unfolded = channels * compression[0] * compression[1] * compression[2]
        self.read = nn.Conv3d(unfolded, latent_channels, 1)
        self.write = nn.Conv3d(latent_channels, unfolded, 1)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Latent (B, L, X / cx, Y / cy, Z / cz) of an image (B, C, X, Y, Z)."""
        latent: torch.Tensor = self.read(space_to_depth(image, self.compression))
        return latent

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Image (B, C, X, Y, Z) of a latent."""
        return depth_to_space(self.write(latent), self.compression)

    @torch.no_grad()
    def fit(self, volumes: Iterable[torch.Tensor]) -> None:
        """Sets both matrices to the principal components of the blocks of (C, X, Y, Z) volumes.

        Each component keeps the strength that it has in the image, so that an error of a given size costs the same in
        every component. If all were scaled to equal strength, an error in the faintest one would cost a denoiser as
        much as an error in a block's brightness, and its samples would show the blocks. Finally the components are
        mixed by an orthogonal matrix, because latent channels are normalised one by one later.
        """
        mean, variances, components = _principal(space_to_depth(v[None].double(), self.compression) for v in volumes)
        kept = min(self.read.out_channels, len(mean))
        strength = variances[:kept].clamp(min=1e-8).mean().sqrt()
        mixed = components[:, :kept] @ _hartley(kept)
        read, write = mixed / strength, mixed * strength
        for parameter in self.parameters():
            parameter.zero_()
        self.read.weight[:kept] = read.T[..., None, None, None].float()
        self.read.bias[:kept] = -(read.T @ mean).float()  # type: ignore[index]
        self.write.weight[:, :kept] = write[..., None, None, None].float()
        self.write.bias[:] = mean.float()  # type: ignore[index]


def _principal(blocks: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean (N,), variances (N,) and principal components (N, N) of (1, N, x, y, z) blocks, the strongest first."""
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for part in blocks:
        rows = part[0].flatten(1)
        count, total, square = count + rows.shape[1], total + rows.sum(1), square + rows @ rows.T
    mean = total / count
    variances, components = torch.linalg.eigh(square / count - torch.outer(mean, mean))
    return mean, variances.flip(0), components.flip(1)


def _hartley(size: int) -> torch.Tensor:
    """Hartley's transform: an orthogonal (size, size) matrix that spreads the first component evenly over channels."""
    place = torch.arange(size, dtype=torch.float64)
    angle = 2 * torch.pi * torch.outer(place, place) / size
    mixing: torch.Tensor = (angle.cos() + angle.sin()) / size**0.5
    return mixing


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
