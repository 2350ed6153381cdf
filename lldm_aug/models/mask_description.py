"""All that a mask model knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat

from lldm_aug.anatomy.limits import Limits
from lldm_aug.config.schema import (
    MaskAutoencoderSettings,
)
from lldm_aug.errors import CheckpointError
from lldm_aug.models.config_file import DiffusionDescription
from lldm_aug.pool.provenance import StageProvenance

DENOISER_FILE = "mask_denoiser.safetensors"
PLACES = (".", "masks", "masks/export", "generator/masks")
"""Where a mask model lies in its own folder, in that of a generator, and in that of a run."""


class MaskDescription(DiffusionDescription):
    """A mask model without its weights.

    Args:
        reach_mm: distance at which its signed distances are truncated.
        limits: bounds that its masks have to keep: the defaults, widened to what the training masks show.
        reconstruction_dice: mean Dice of whole training masks after a pass through the autoencoder, by structure.
        stages: what each stage saw; a mask model without a history is refused.
    """

    reach_mm: PositiveFloat
    autoencoder: MaskAutoencoderSettings
    limits: Limits
    reconstruction_dice: dict[str, float]
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]


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
