"""All that a generator knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from lldm_aug.data.structure_signal import RealSignal
from lldm_aug.models.config_file import DiffusionDescription
from lldm_aug.models.image_model import ImageDescription


class Description(DiffusionDescription, ImageDescription):
    """A generator without its weights.

    Args:
        inpainting: whether the ControlNet is conditioned on what is around a region that is to be painted (see
            `lldm_aug.models.surroundings`). Others inpaint too, but do not know what they continue.
        windows: whether it was trained on windows of cases, as large as its grid, rather than on whole fields of view.
        real_signal: statistics of the training cases, by which the quality filter judges; older generators lack them.
    """

    real_signal: RealSignal | None = None
    inpainting: bool = False
    windows: bool = False

    @property
    def condition_channels(self) -> int:
        """Channels of the condition: those of the mask and, with `inpainting`, those of what is around the region."""
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
        regions = 1 + len(self.labels.names)
        if any([len(c) for c in residual_noise.deviation] != [regions] * len(names) for residual_noise in self.texture):
            raise ValueError(f"texture does not describe {len(names)} channels and {regions} regions")
        return self
