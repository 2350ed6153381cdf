"""What all models that make images for masks have in common: the generator, and the baselines it is compared with."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from lldm_aug.config.schema import IntensitySettings, SamplingSettings
from lldm_aug.data.intensity import IntensityModel, Scale
from lldm_aug.models.config_file import LatentDescription
from lldm_aug.models.texture import ResidualNoise
from lldm_aug.pool.provenance import StageProvenance

if TYPE_CHECKING:
    import torch


class ImageDescription(LatentDescription):
    """An image model without its weights: what its images need to become cases.

    Args:
        intensity: how intensities are scaled, and back.
        scaling: the settings behind that; older generators do not say, and are taken to have had the default ones.
        sampling: how it is sampled unless told otherwise.
        texture: what samples for the masks of some training cases lack; put back into generated images.
        stages: what each stage saw; a model without a history is refused.
    """

    intensity: IntensityModel
    scaling: IntensitySettings = IntensitySettings()
    sampling: SamplingSettings
    texture: tuple[ResidualNoise, ...] = ()
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]

    @property
    def num_channels(self) -> int:
        """Image channels."""
        return len(self.dataset_json["channel_names"])

    @property
    def common_scale(self) -> Scale | None:
        """See `IntensityModel.common_scale`."""
        return self.intensity.common_scale(self.scaling, tuple(self.dataset_json["channel_names"].values()))

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(L, x, y, z) of the noise that an image starts from."""


class ImageModel(Protocol):
    """Makes images for masks."""

    @property
    def description(self) -> ImageDescription:
        """Everything but the weights."""

    @property
    def hash(self) -> str:
        """Identity of the folder that it was loaded from."""

    def to(self, device: torch.device | str) -> ImageModel:
        """Moves the weights in place; returns itself."""

    def image(
        self,
        label: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings | None = None,
        rng: torch.Generator | None = None,
        unknown: tuple[str, ...] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled images and foreground logits for masks and noise; see `lldm_aug.models.generator.Generator.image`."""
