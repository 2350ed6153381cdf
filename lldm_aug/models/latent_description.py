"""What the descriptions of the latent diffusion models, of images and of masks, have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.models.config_file import CONFIG_FILE, VersionedDescription

Side = Annotated[int, Field(ge=1, le=1024)]


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
