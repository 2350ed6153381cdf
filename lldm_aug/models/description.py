"""All that a generator knows besides its weights: ``config.json`` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, model_validator

from lldm_aug.config.schema import (
    AutoencoderSettings,
    DenoiserSettings,
    IntensitySettings,
    ObjectiveSettings,
    SamplingSettings,
    check_sampling,
)
from lldm_aug.data.intensity import IntensityModel
from lldm_aug.data.signal import RealSignal
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.models.config_file import CONFIG_FILE, read_config
from lldm_aug.models.texture import Grain
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record

FORMAT_VERSION = 1
Side = Annotated[int, Field(ge=1, le=1024)]


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
        scaling: the settings behind that; older generators do not say, and are taken to have had the default ones.
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the diffusion U-Net and the ControlNet.
        objective: what the denoiser predicts.
        sampling: how it is sampled unless told otherwise.
        latent_mean: mean of each latent channel over the training cases.
        latent_std: standard deviation likewise; latents are normalised channel by channel.
        texture: what the autoencoder smoothed away in some training cases; put back into generated images.
        real_signal: what the training cases look like, by which the gate judges; unknown to older generators.
        stages: what each stage saw; a generator without a history is refused.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    shape: tuple[Side, Side, Side]
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    compression: tuple[Side, Side, Side]
    dataset_json: dict[str, Any]
    intensity: IntensityModel
    scaling: IntensitySettings = IntensitySettings()
    autoencoder: AutoencoderSettings
    denoiser: DenoiserSettings
    objective: ObjectiveSettings
    sampling: SamplingSettings
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    texture: tuple[Grain, ...] = ()
    real_signal: RealSignal | None = None
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Description:
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"format {self.format_version} is of a later version; update lldm_aug")
        names, intensity = self.dataset_json.get("channel_names"), self.intensity
        if not isinstance(names, dict) or not names:
            raise ValueError("dataset_json names no channels")
        by_channel = [intensity.minimum, intensity.maximum]
        by_channel += [bound for scale in intensity.scales for bound in (scale.low, scale.high)]
        if not intensity.scales or any(len(values) != len(names) for values in by_channel):
            raise ValueError(f"intensity does not describe {len(names)} channels")
        if {len(self.latent_mean), len(self.latent_std)} != {self.autoencoder.latent_channels}:
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
    return read_config(Description, folder, "a generator folder")
