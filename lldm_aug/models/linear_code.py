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
    """Each block of voxels to its latent cell by one matrix, and back by another.

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

        Latent channels then have mean 0 and variance 1, the strongest component first; channels beyond the number of
        components stay 0.
        """
        count, total, square = 0, torch.zeros(()), torch.zeros(())
        for volume in volumes:
            blocks = space_to_depth(volume[None].double(), self.compression)[0].flatten(1)
            count, total, square = count + blocks.shape[1], total + blocks.sum(1), square + blocks @ blocks.T
        mean = total / count
        variances, components = torch.linalg.eigh(square / count - torch.outer(mean, mean))
        kept = min(self.read.out_channels, len(mean))
        components = components[:, -kept:].flip(1)
        deviations = variances[-kept:].flip(0).clamp(min=1e-8).sqrt()
        for parameter in self.parameters():
            parameter.zero_()
        read, write = components / deviations, components * deviations
        self.read.weight[:kept] = read.T[..., None, None, None].float()
        self.read.bias[:kept] = -(read.T @ mean).float()  # type: ignore[index]
        self.write.weight[:, :kept] = write[..., None, None, None].float()
        self.write.bias[:] = mean.float()  # type: ignore[index]
