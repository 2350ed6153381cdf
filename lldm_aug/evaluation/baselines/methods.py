"""The rows of the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.stages.table import GENERATOR_STAGES

if TYPE_CHECKING:
    from lldm_aug.models.image_model import ImageModel


@dataclass(frozen=True)
class Method:
    """One way to make images for masks.

    Args:
        name: in tables and folders.
        title: what it is.
        stages: what is trained for it, in order; all methods share a run folder.
    """

    name: str
    title: str
    stages: tuple[str, ...]

    def load(self, run: Path) -> tuple[ImageModel, int]:
        """The trained model in a run folder, and the number of weights that make an image."""
        from lldm_aug.baselines.model import Baseline
        from lldm_aug.models.generator import Generator

        if self.stages == GENERATOR_STAGES:
            generator = Generator.load(run / "generator")
            return generator, sum(p.numel() for m in (generator.autoencoder, generator.network) for p in m.parameters())
        baseline = Baseline.load(run / self.stages[-1] / "export")
        return baseline, sum(p.numel() for p in baseline.painter.parameters())


OURS = Method("ours", "latent diffusion with ControlNet", GENERATOR_STAGES)
BASELINES = (
    Method("gan", "3D alpha-GAN told the mask (arXiv 1908.02498)", ("baseline_gan",)),
    Method("pixel", "diffusion of voxels, mask concatenated (arXiv 2305.18453)", ("baseline_pixel",)),
    Method("latent", "latent diffusion, mask concatenated, no ControlNet", ("autoencoder", "baseline_latent")),
)
METHODS = {method.name: method for method in (OURS, *BASELINES)}
