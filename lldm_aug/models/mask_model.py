"""A generative model of masks: a folder with ``config.json``, safetensors and hashes; noise in, distances out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import nn

from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.mask_autoencoder import MaskAutoencoder
from lldm_aug.models.mask_description import DENOISER_FILE, MaskDescription
from lldm_aug.models.trained_model import TrainedModel

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
