"""All that a generator knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from lldm_aug.config.schema import AutoencoderSettings, DenoiserSettings, ObjectiveSettings, SamplingSettings
from lldm_aug.data.intensity import IntensityModel
from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.provenance import Record, StageProvenance

CONFIG_FILE = "config.json"
FORMAT_VERSION = 1


class Description(Record):
    """A generator without its weights.

    Args:
        format_version: version of the folder's layout.
        lldm_aug_version: version that wrote it.
        shape: voxels of its grid along (X, Y, Z).
        spacing_mm: voxel size of its grid.
        compression: voxels per latent cell.
        dataset_json: channels, labels and file ending of the data that it learnt.
        intensity: how intensities are scaled, and back.
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the diffusion U-Net and the ControlNet.
        objective: what the denoiser predicts.
        sampling: how it is sampled unless told otherwise.
        latent_mean: mean of each latent channel over the training cases.
        latent_std: standard deviation likewise; latents are normalised channel by channel.
        stages: what each stage saw; a generator without a history is refused.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    compression: tuple[int, int, int]
    dataset_json: dict[str, Any]
    intensity: IntensityModel
    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    sampling: SamplingSettings
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]

    @property
    def labels(self) -> LabelSchema:
        """The structures that it can be asked for."""
        return LabelSchema.from_dataset_json(self.dataset_json, CONFIG_FILE)

    @property
    def num_channels(self) -> int:
        """Image channels."""
        return len(self.dataset_json["channel_names"])

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(L, X / cx, Y / cy, Z / cz)."""
        x, y, z = (n // f for n, f in zip(self.shape, self.compression, strict=True))
        return self.autoencoder.latent_channels, x, y, z

    @property
    def grid(self) -> Grid:
        """Its grid around the origin, for masks that come with no case."""
        return Grid.regular(self.shape, self.spacing_mm)


def read_description(folder: Path) -> Description:
    """The description in a generator folder.

    Raises:
        CheckpointError: when it is missing or invalid.
    """
    path = folder / CONFIG_FILE
    try:
        return Description.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"no {CONFIG_FILE}", where=folder, fix="point to a generator folder") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=path) from error
