"""What makes the images of a baseline, and all that the baseline knows besides weights.

A picture, which networks of voxels make, is the image, and as one more channel where it is not exactly zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import nn

from lldm_aug.config.schema import (
    AutoencoderSettings,
    BaselineSettings,
    DenoiserSettings,
    ObjectiveSettings,
    SamplingSettings,
)
from lldm_aug.models.image_model import ImageDescription
from lldm_aug.training.prepared_cases import PreparedCase


class BaselineSizes(BaseModel):
    """Settings that decide a baseline's networks; other settings, which older baselines list too, are passed over.

    Args:
        autoencoder: of the latents, for a baseline that has any.
        denoiser: of these latents.
        objective: what a diffusion model predicts.
        baselines: sizes of the others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    baselines: BaselineSettings


class BaselineDescription(ImageDescription):
    """A baseline without its weights.

    Args:
        kind: the stage that trained it.
        config: settings that decide its networks.
        noise_shape: of the noise that an image starts from.
        latent_mean: mean of each latent channel over the training cases, if it has latents.
        latent_std: standard deviation likewise.
    """

    kind: str
    config: BaselineSizes
    noise_shape: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """See `ImageDescription`."""
        return self.noise_shape


SUREST = 1e-4
"""No voxel is likelier than this to be the opposite of what the channel says."""


class ImageNetwork(nn.Module, ABC):
    """Noise and mask to image."""

    @classmethod
    @abstractmethod
    def untrained(cls, d: BaselineDescription) -> ImageNetwork:
        """Networks of the sizes of a description, weights as initialised."""

    @abstractmethod
    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled images (B, C, X, Y, Z) and foreground logits (B, X, Y, Z).

        Args:
            condition: (B, S, X, Y, Z), see `lldm_aug.models.condition.encode_mask`.
            noise: (B, L, x, y, z) standard normal.
            sampling: solver, steps and guidance, for those that are sampled.
            rng: fresh noise of the ancestral solver.
        """


def picture_of(case: PreparedCase) -> torch.Tensor:
    """(C + 1, X, Y, Z): the scaled image, and the share of each voxel that is not exactly zero, from -1 to 1."""
    return torch.cat([case.image, case.foreground[None] * 2 - 1])


def image_of(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The images (B, C, X, Y, Z) and foreground logits (B, X, Y, Z) of (B, C + 1, X, Y, Z) pictures."""
    share = (picture[:, -1].float() + 1) / 2
    return picture[:, :-1], torch.logit(share.clamp(SUREST, 1 - SUREST))
