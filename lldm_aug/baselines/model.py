"""A trained baseline: a folder with ``config.json``, safetensors and hashes; label in, image out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lldm_aug.baselines.denoisers import LatentImageNetwork, PixelDenoiser
from lldm_aug.baselines.gan_networks import GanGenerator
from lldm_aug.baselines.image_network import BaselineDescription, ImageNetwork
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.errors import CheckpointError
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.trained_model import TrainedModel

WEIGHTS_FILE = "baseline.safetensors"
IMAGE_NETWORKS: dict[str, type[ImageNetwork]] = {
    "baseline_gan": GanGenerator,
    "baseline_pixel": PixelDenoiser,
    "baseline_latent": LatentImageNetwork,
}
"""What makes the images, by the stage that trained it."""


@dataclass(frozen=True)
class Baseline(TrainedModel):
    """A trained baseline.

    Args:
        description: everything but the weights.
        image_network: makes the images.
    """

    described_by = BaselineDescription

    description: BaselineDescription
    image_network: ImageNetwork

    @classmethod
    def untrained(cls, description: BaselineDescription) -> Baseline:
        """Networks of the right sizes, weights as initialised.

        Raises:
            CheckpointError: for a kind that is not known.
        """
        if description.kind not in IMAGE_NETWORKS:
            raise CheckpointError(f"no baseline is called {description.kind!r}", where="kind", fix="update lldm_aug")
        return cls(description, IMAGE_NETWORKS[description.kind].untrained(description))

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See `TrainedModel`."""
        return {WEIGHTS_FILE: self.image_network}

    @torch.inference_mode()
    def image(
        self,
        label: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings | None = None,
        rng: torch.Generator | None = None,
        unknown: tuple[str, ...] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled images and foreground logits for masks and noise; see `lldm_aug.models.generator.Generator.image`."""
        condition = encode_mask(label.to(self.device), self.description.labels, unknown)
        return self.image_network.paint(condition, noise.to(self.device), sampling or self.description.sampling, rng)
