"""A generative model of masks: a folder with ``config.json``, safetensors and hashes; noise in, distances out.

Its autoencoder is the image autoencoder, applied to truncated signed distances of masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import nn

from lldm_aug.config.schema import MaskAutoencoderSettings
from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.layers import Factors
from lldm_aug.models.mask_description import DENOISER_FILE, MaskDescription
from lldm_aug.models.trained_model import TrainedModel

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


AUTOENCODER_FILE = "mask_autoencoder.safetensors"


@dataclass(frozen=True)
class MaskModel(TrainedModel):
    """A trained mask model.

    Args:
        description: everything but the weights.
        autoencoder: latents to depth fields.
        denoiser: noise to latents.
    """

    described_by = MaskDescription

    description: MaskDescription
    autoencoder: MaskAutoencoder
    denoiser: DiffusionModelUNet

    @classmethod
    def untrained(cls, description: MaskDescription) -> MaskModel:
        """Networks of the right sizes, weights as initialised."""
        d = description
        autoencoder = MaskAutoencoder(len(d.labels.names), d.compression, d.autoencoder)
        return cls(d, autoencoder, build_denoiser(d.autoencoder.latents, d.denoiser, d.objective))

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See `TrainedModel`."""
        return {AUTOENCODER_FILE: self.autoencoder, DENOISER_FILE: self.denoiser}

    @torch.inference_mode()
    def depths_mm(self, noise: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
        """Depth fields (B, S, X, Y, Z) in millimetres for standard normal noise (B, L, x, y, z).

        Args:
            noise: decides the masks.
            rng: fresh noise of the ancestral solver.
        """
        d = self.description
        latent = sample(self.denoiser, noise, d.objective, d.sampling, rng)
        mean, std = (torch.tensor(v, device=latent.device).view(1, -1, 1, 1, 1) for v in (d.latent_mean, d.latent_std))
        return self.autoencoder.decode(latent * std + mean) * d.reach_mm
