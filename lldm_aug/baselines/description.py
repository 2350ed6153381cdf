"""All that a baseline knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from lldm_aug.config.schema import Config
from lldm_aug.models.image_model import ImageDescription

Kind = Literal["baseline_gan", "baseline_pixel", "baseline_latent"]


class BaselineDescription(ImageDescription):
    """A baseline without its weights.

    Args:
        kind: which of them.
        config: settings that it was trained with.
        noise_shape: of the noise that an image starts from.
        latent_mean: mean of each latent channel over the training cases, if it has latents.
        latent_std: standard deviation likewise.
    """

    kind: Kind
    config: Config
    noise_shape: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """See `ImageDescription`."""
        return self.noise_shape
