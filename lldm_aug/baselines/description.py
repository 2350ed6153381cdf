"""All that a baseline knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt

from lldm_aug.config.schema import AutoencoderSettings, BaselineSettings, DenoiserSettings, ObjectiveSettings
from lldm_aug.models.image_model import ImageDescription


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
