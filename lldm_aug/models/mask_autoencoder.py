"""An autoencoder of masks: the image autoencoder, applied to their truncated signed distances."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from lldm_aug.config.schema import MaskAutoencoderSettings
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.layers import Factors

LEAST_STRENGTH = 0.05
"""Smaller standard deviations are raised to this: a structure that hardly any mask has is not amplified further."""


class MaskAutoencoder(nn.Module):
    """Maps the distance fields of masks to the mean and standard deviation of a latent, and a latent back to fields.

    The fields are those of `lldm_aug.masks.distance.depths`. Fields of thin or rare structures hardly vary from one
    place to another. They are scaled so that all structures vary equally in the latent; otherwise a model of the
    latents would learn nothing but the organs.

    Args:
        structures: channels S of the fields.
        compression: voxels per latent cell along (X, Y, Z), powers of two.
        settings: sizes.
    """

    def __init__(self, structures: int, compression: Factors, settings: MaskAutoencoderSettings) -> None:
        super().__init__()
        self.net = Autoencoder(structures, 0, compression, settings)
        self.strength: torch.Tensor
        self.register_buffer("strength", torch.ones(structures, 1, 1, 1))

    def start(self, fields: Callable[[], Iterable[torch.Tensor]]) -> None:
        """Measures how much the fields (S, X, Y, Z) of each structure vary, and starts from the best linear code."""
        sums = [(f.numel() / len(f), f.sum((1, 2, 3)).double(), (f**2).sum((1, 2, 3)).double()) for f in fields()]
        count, total, square = (sum(column) for column in zip(*sums, strict=True))
        variance = square / count - (total / count) ** 2
        self.strength.copy_(variance.sqrt().clamp(min=LEAST_STRENGTH).float()[:, None, None, None])
        self.net.start_linear(f / self.strength for f in fields())

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (B, L, X / cx, Y / cy, Z / cz) of the latent of (B, S, X, Y, Z) fields."""
        return self.net.encode(fields / self.strength)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Fields (B, S, X, Y, Z) of a latent. Values beyond [-1, 1] mean the same as -1 and 1."""
        fields, _ = self.net.decode(latent, latent.new_empty(0))  # a head that sees no mask, and no exact zeros
        return fields * self.strength

    def forward(self, fields: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass for training: reconstruction, latent mean and standard deviation."""
        mean, deviation = self.encode(fields)
        return self.decode(mean + deviation * noise), mean, deviation
