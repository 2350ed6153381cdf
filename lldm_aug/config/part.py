"""The part of all settings that one stage is given."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

from lldm_aug.config.schema import AutoencoderSettings, Config, DenoiserSettings, ObjectiveSettings, SamplingSettings
from lldm_aug.config.section import Section
from lldm_aug.config.stages import StageSettings

Optimisation = TypeVar("Optimisation", bound=StageSettings)


class StageConfig(Section, Generic[Optimisation]):
    """The settings that a stage is given; each stage adds the sections of `Config` that it uses, under their names.

    Args:
        seed: of the run.
        train: the stage's own section of ``train``.
    """

    seed: int
    train: Optimisation

    @classmethod
    def of(cls, config: Config, section: str) -> Self:
        """The part of all settings that a stage is given.

        Args:
            config: all settings.
            section: name of the stage's own section of ``train``.
        """
        shared = {name: getattr(config, name) for name in cls.model_fields if name != "train"}
        return cls(train=getattr(config.train, section), **shared)


class LatentConfig(StageConfig[Optimisation]):
    """Settings of a stage that diffuses latents.

    Args:
        autoencoder: sizes of the autoencoder whose latents they are, resolved.
        denoiser: sizes of the U-Net.
        objective: what it learns.
        sampling: how previews are sampled, and later the images.
    """

    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    sampling: SamplingSettings
