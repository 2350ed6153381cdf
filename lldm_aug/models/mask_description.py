"""All that a mask model knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, model_validator

from lldm_aug.anatomy.limits import Limits
from lldm_aug.config.schema import (
    DenoiserSettings,
    MaskAutoencoderSettings,
    ObjectiveSettings,
    SamplingSettings,
    check_sampling,
)
from lldm_aug.errors import CheckpointError
from lldm_aug.models.config_file import LatentDescription
from lldm_aug.pool.provenance import StageProvenance

DENOISER_FILE = "mask_denoiser.safetensors"
PLACES = (".", "masks", "masks/export", "generator/masks")
"""Where a mask model lies in its own folder, in that of a generator, and in that of a run."""


class MaskDescription(LatentDescription):
    """A mask model without its weights.

    Args:
        reach_mm: where its distances are cut off.
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the U-Net.
        objective: what the denoiser predicts.
        sampling: how it is sampled.
        latent_mean: mean of each latent channel over the training masks.
        latent_std: standard deviation likewise.
        limits: what its masks may look like: the defaults, widened to the training masks.
        reconstruction_dice: mean Dice of whole training masks after a pass through the autoencoder, by structure.
        stages: what each stage saw; a mask model without a history is refused.
    """

    reach_mm: PositiveFloat
    autoencoder: MaskAutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    sampling: SamplingSettings
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    limits: Limits
    reconstruction_dice: dict[str, float]
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> MaskDescription:
        if {len(self.latent_mean), len(self.latent_std)} != {self.autoencoder.latents}:
            raise ValueError("latent_mean and latent_std need one value a latent channel")
        deepest = 2 ** (len(self.denoiser.channels) - 1)
        if any(n % (f * deepest) for n, f in zip(self.shape, self.compression, strict=True)):
            raise ValueError(f"shape {self.shape} does not suit compression {self.compression}")
        check_sampling(self.objective, self.sampling)
        return self

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(L, X / cx, Y / cy, Z / cz)."""
        return (self.autoencoder.latents, *self.latent_sides)


def mask_model_folder(path: Path) -> Path:
    """A mask model's folder, given it or the generator's or run's folder that holds it.

    Raises:
        CheckpointError: when there is none.
    """
    for place in PLACES:
        if (path / place / DENOISER_FILE).is_file():
            return path / place
    raise CheckpointError(
        "no mask model", where=path, fix="run 'lldm-aug train masks' with the run's --out, or give another --model"
    )
