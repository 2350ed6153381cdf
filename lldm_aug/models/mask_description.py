"""All that a mask model knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, model_validator

from lldm_aug.config.schema import (
    DenoiserSettings,
    MaskAutoencoderSettings,
    ObjectiveSettings,
    SamplingSettings,
    check_sampling,
)
from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.limits import Limits
from lldm_aug.models.config_file import CONFIG_FILE, read_config
from lldm_aug.models.description import Side
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record

FORMAT_VERSION = 1
DENOISER_FILE = "mask_denoiser.safetensors"
PLACES = (".", "masks", "masks/export", "generator/masks")
"""Where a mask model lies in its own folder, in that of a generator, and in that of a run."""


class MaskDescription(Record):
    """A mask model without its weights.

    Args:
        format_version: version of the folder's layout.
        lldm_aug_version: version that wrote it.
        shape: voxels of its grid along (X, Y, Z).
        spacing_mm: voxel size of its grid.
        compression: voxels per latent cell.
        dataset_json: labels of the data that it learnt.
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

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    shape: tuple[Side, Side, Side]
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    compression: tuple[Side, Side, Side]
    dataset_json: dict[str, Any]
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
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"format {self.format_version} is of a later version; update lldm_aug")
        if {len(self.latent_mean), len(self.latent_std)} != {self.autoencoder.latent_channels}:
            raise ValueError("latent_mean and latent_std need one value a latent channel")
        deepest = 2 ** (len(self.denoiser.channels) - 1)
        if any(n % (f * deepest) for n, f in zip(self.shape, self.compression, strict=True)):
            raise ValueError(f"shape {self.shape} does not suit compression {self.compression}")
        check_sampling(self.objective, self.sampling)
        return self

    @property
    def labels(self) -> LabelSchema:
        """The structures of its masks."""
        return LabelSchema.from_dataset_json(self.dataset_json, CONFIG_FILE)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(L, X / cx, Y / cy, Z / cz)."""
        x, y, z = (n // f for n, f in zip(self.shape, self.compression, strict=True))
        return self.autoencoder.latent_channels, x, y, z

    @property
    def grid(self) -> Grid:
        """The grid of its masks, around the origin."""
        return Grid.regular(self.shape, self.spacing_mm)


def read_mask_description(folder: Path) -> MaskDescription:
    """The description in a mask model's folder.

    Raises:
        CheckpointError: when it is missing or invalid.
    """
    return read_config(MaskDescription, folder, "a mask model's folder")


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
