"""All that a generator knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from lldm_aug.config.schema import AutoencoderSettings, DenoiserSettings, ObjectiveSettings, check_sampling
from lldm_aug.data.signal import RealSignal
from lldm_aug.models.image_model import ImageDescription


class Description(ImageDescription):
    """A generator without its weights.

    Args:
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the diffusion U-Net and the ControlNet.
        objective: what the denoiser predicts.
        latent_mean: mean of each latent channel over the training cases.
        latent_std: standard deviation likewise; latents are normalised channel by channel.
        inpainting: whether the ControlNet is told what is around a region that is to be painted (see
            `lldm_aug.models.region`); others inpaint too, but do not know what they continue.
        windows: whether it was trained on windows of cases, as large as its grid, rather than on whole fields of view.
        real_signal: what the training cases look like, by which the gate judges; unknown to older generators.
    """

    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    real_signal: RealSignal | None = None
    inpainting: bool = False
    windows: bool = False

    @property
    def condition_channels(self) -> int:
        """Channels that the ControlNet is told: of the mask, and of what is around the region if it is told that."""
        return len(self.labels.names) + (self.num_channels + 1 if self.inpainting else 0)

    @model_validator(mode="before")
    @classmethod
    def _of_0_1_0(cls, fields: Any) -> Any:
        """Autoencoders of 0.1.0 had no shortcut, and their descriptions do not say so."""
        if isinstance(fields, dict) and isinstance(sizes := fields.get("autoencoder"), dict):
            return {**fields, "autoencoder": {"shortcut": False, **sizes}}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Description:
        names, intensity = self.dataset_json.get("channel_names"), self.intensity
        if not isinstance(names, dict) or not names:
            raise ValueError("dataset_json names no channels")
        by_channel = [intensity.minimum, intensity.maximum]
        by_channel += [bound for scale in intensity.scales for bound in (scale.low, scale.high)]
        if not intensity.scales or any(len(values) != len(names) for values in by_channel):
            raise ValueError(f"intensity does not describe {len(names)} channels")
        if {len(self.latent_mean), len(self.latent_std)} != {self.autoencoder.latents}:
            raise ValueError("latent_mean and latent_std need one value a latent channel")
        regions = 1 + len(self.labels.names)
        if any([len(c) for c in grain.deviation] != [regions] * len(names) for grain in self.texture):
            raise ValueError(f"texture does not describe {len(names)} channels and {regions} regions")
        deepest = 2 ** (len(self.denoiser.channels) - 1)
        if any(n % (f * deepest) for n, f in zip(self.shape, self.compression, strict=True)):
            raise ValueError(f"shape {self.shape} does not suit compression {self.compression}")
        check_sampling(self.objective, self.sampling)
        return self

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(L, X / cx, Y / cy, Z / cz)."""
        return (self.autoencoder.latents, *self.latent_sides)
