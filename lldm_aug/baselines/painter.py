"""What makes the images of a baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from lldm_aug.baselines.description import BaselineDescription
from lldm_aug.config.schema import SamplingSettings


class Painter(nn.Module, ABC):
    """Noise and mask to image."""

    @classmethod
    @abstractmethod
    def untrained(cls, d: BaselineDescription) -> Painter:
        """Networks of the sizes of a description, weights as initialised."""

    @abstractmethod
    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled images (B, C, X, Y, Z) and foreground logits (B, X, Y, Z).

        Args:
            condition: (B, S, X, Y, Z), see `lldm_aug.models.condition.encode_mask`.
            noise: (B, L, x, y, z) standard normal.
            sampling: solver, steps and guidance, for those that are sampled.
            rng: fresh noise of the ancestral solver.
        """
