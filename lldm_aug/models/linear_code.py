"""The best linear code of small blocks of voxels: the shortcut around an autoencoder, and its start.

An autoencoder trained from random weights spends most of a small budget on what principal components give at once.
With them as a shortcut from voxels to latent and back, its networks learn only what a linear code misses (after the
residual autoencoding of arXiv 2410.10733, whose shortcuts have no weights).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

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
