"""``config.json``, in which a model's folder holds the model's description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, model_validator

from lldm_aug.config.schema import (
    AutoencoderSettings,
    DenoiserSettings,
    ObjectiveSettings,
    SamplingSettings,
    check_sampling,
)
from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Grid
from lldm_aug.io.records import read_record
from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record

CONFIG_FILE = "config.json"

FORMAT_VERSION = 1
Side = Annotated[int, Field(ge=1, le=1024)]


class VersionedDescription(Record):
    """What every model's ``config.json`` begins with.

    Args:
        format_version: version of the folder's layout; a later one is refused.
        lldm_aug_version: version that wrote it.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str

    @model_validator(mode="after")
    def _known_version(self) -> Self:
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"format {self.format_version} is of a later version; update lldm_aug")
        return self

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description in a model's folder.

        Raises:
            CheckpointError: when it is missing or invalid.
        """
        return read_record(cls, folder / CONFIG_FILE, fix="point to the folder of such a model")


class LatentDescription(VersionedDescription):
    """Grid, latent cells and labels of a model: the first fields of its ``config.json``, before the model's own.

    Args:
        shape: voxels of its grid along (X, Y, Z).
        spacing_mm: voxel size of its grid.
        compression: voxels per latent cell.
        dataset_json: channels, labels and file ending of the data that it learnt.
    """

    shape: tuple[Side, Side, Side]
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    compression: tuple[Side, Side, Side]
    dataset_json: dict[str, Any]

    @property
    def labels(self) -> LabelSchema:
        """The structures that it knows."""
        return LabelSchema.from_dataset_json(self.dataset_json, CONFIG_FILE)

    @property
    def latent_sides(self) -> tuple[int, int, int]:
        """Latent cells along (X, Y, Z)."""
        x, y, z = (n // f for n, f in zip(self.shape, self.compression, strict=True))
        return x, y, z

    @property
    def grid(self) -> Grid:
        """Its grid around the origin, for masks that come with no case."""
        return Grid.regular(self.shape, self.spacing_mm)


class DiffusionDescription(LatentDescription):
    """What the models that diffuse latents say: the generator, and the model of masks.

    Args:
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the diffusion U-Net, and of a ControlNet.
        objective: what the denoiser predicts.
        sampling: how it is sampled unless told otherwise.
        latent_mean: mean of each latent channel over the training cases.
        latent_std: standard deviation likewise; latents are normalised channel by channel.
    """

    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    sampling: SamplingSettings
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]

    @model_validator(mode="after")
    def _networks_fit(self) -> Self:
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


def generator_folder(path: Path) -> Path:
    """A generator's folder, given it or the run folder that holds it.

    Raises:
        CheckpointError: when there is none.
    """
    for folder in (path, path / "generator"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise CheckpointError("no generator", where=path, fix="finish 'lldm-aug train controlnet', or give another folder")
