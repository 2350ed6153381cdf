"""The control that exposes a decoder which merely paints the mask: images decoded from latents of pure noise.

A head that sees the mask scores well against it whatever the latent says. Only what a generator's own images score
beyond this control, in faithfulness and in likeness, is the diffusion model's doing.
"""

from __future__ import annotations

import torch

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.diffusion.sampler import Known
from lldm_aug.models.generator import Generator


class NoiseLatents(Generator):
    """A generator whose denoiser is left out: latents are the noise that sampling would start from."""

    @classmethod
    def of(cls, generator: Generator) -> NoiseLatents:
        """The control of a generator, sharing its weights."""
        return cls(generator.description, generator.autoencoder, generator.network, hash=generator.hash)

    def latent(
        self,
        condition: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings,
        rng: torch.Generator | None = None,
        known: Known | None = None,
    ) -> torch.Tensor:
        """The noise itself: normalised latents have its mean and variance."""
        return noise if known is None else torch.where(known.cells, known.clean, noise)
