"""The image autoencoder, put to depth fields of masks."""

from __future__ import annotations

import torch
from torch import nn

from lldm_aug.config.schema import MaskAutoencoderSettings
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.layers import Factors


class MaskAutoencoder(nn.Module):
    """Depth fields (see `lldm_aug.masks.distance.depths`) to latent moments, and latents to depth fields.

    Args:
        structures: channels S of the fields.
        compression: voxels per latent cell along (X, Y, Z), powers of two.
        settings: sizes.
    """

    def __init__(self, structures: int, compression: Factors, settings: MaskAutoencoderSettings) -> None:
        super().__init__()
        self.net = Autoencoder(structures, 0, compression, settings)

    def encode(self, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation (B, L, X / cx, Y / cy, Z / cz) of the latent of (B, S, X, Y, Z) fields."""
        return self.net.encode(fields)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Fields (B, S, X, Y, Z); beyond [-1, 1] they mean nothing more."""
        fields, _ = self.net.decode(latent, latent.new_empty(0))  # a head that sees no mask, and no exact zeros
        return fields

    def forward(self, fields: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass for training: reconstruction, latent mean and standard deviation."""
        mean, deviation = self.encode(fields)
        return self.decode(mean + deviation * noise), mean, deviation
