"""A trained baseline: a folder with ``config.json``, safetensors and hashes; label in, image out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lldm_aug.baselines.description import BaselineDescription
from lldm_aug.baselines.painter import Painter
from lldm_aug.baselines.painters import untrained
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.io.weights import check_sums, load_weights
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.config_file import read_config
from lldm_aug.models.onednn import prefer_onednn
from lldm_aug.models.saving import write_model

WEIGHTS_FILE = "baseline.safetensors"


@dataclass(frozen=True)
class Baseline:
    """A trained baseline.

    Args:
        description: everything but the weights.
        painter: makes the images.
        hash: identity of the folder that it was loaded from.
    """

    description: BaselineDescription
    painter: Painter
    hash: str = ""

    @classmethod
    def load(cls, folder: Path) -> Baseline:
        """Loads and checks a baseline's folder.

        Raises:
            CheckpointError: when a file is missing, has changed by a byte, or does not fit.
        """
        identity = check_sums(folder)
        description = read_config(BaselineDescription, folder, "a baseline's folder")
        with torch.device("meta"):
            painter = untrained(description)
        load_weights(painter, folder / WEIGHTS_FILE)
        prefer_onednn(painter)
        return cls(description, painter.eval(), identity)

    def save(self, folder: Path) -> None:
        """Writes the folder atomically."""
        with atomic_folder(folder) as temporary:
            write_model(temporary, self.description, {WEIGHTS_FILE: self.painter})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.painter.parameters()).device

    def to(self, device: torch.device | str) -> Baseline:
        """Moves the weights in place; returns itself."""
        self.painter.to(device)
        return self

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
        return self.painter.paint(condition, noise.to(self.device), sampling or self.description.sampling, rng)
