"""Third baseline: latent diffusion without a ControlNet; the mask, sampled down, is concatenated to the latent."""

from __future__ import annotations

import torch

from lldm_aug.baselines.denoisers import LatentDenoiser, LatentImageNetwork
from lldm_aug.baselines.stage import ConcatenatedBaseline, ConcatenatedConfig
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.training.cases import CaseSet, PreparedCase
from lldm_aug.training.export import Export
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import latent_occupancy
from lldm_aug.training.preview import load_autoencoder, reconstructed


class LatentBaseline(ConcatenatedBaseline):
    """Trains a `LatentDenoiser` on the generator's latents.

    Args:
        cases: training cases.
        config: its settings.
        first: the finished autoencoder, the generator's own.
        latents: of the training cases.
    """

    name = "baseline_latent"

    def __init__(self, cases: CaseSet, config: ConcatenatedConfig, first: Export, latents: LatentCache) -> None:
        super().__init__(cases, config)
        self.first, self.latents = first, latents
        self.noise_shape = (config.autoencoder.latents, *self.cells(cases.record.compression, "grid.shape"))
        self.module = LatentDenoiser(len(cases.schema.names), cases.record.compression, self.sizes)
        self.autoencoder = load_autoencoder(cases, config.autoencoder, first)

    @classmethod
    def build(cls, inputs: StageInputs) -> LatentBaseline:
        """See `Trainer`."""
        first = inputs.export("autoencoder")
        return cls(inputs.cases, inputs.own(ConcatenatedConfig), first, inputs.latents(first))

    @property
    def image_network(self) -> LatentImageNetwork:
        """See `BaselineStage`."""
        autoencoder = self.autoencoder.to(next(self.module.parameters()).device)
        return LatentImageNetwork(autoencoder, self.module, *self.latent_statistics, self.config.objective)

    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """Encoded and decoded."""
        return reconstructed(self.image_network.autoencoder, self.cases, case_id, case)

    @property
    def stages(self) -> tuple[StageProvenance, ...]:
        """See `BaselineStage`."""
        return (*self.first.record.stages, *super().stages)

    @property
    def latent_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `BaselineStage`."""
        return self.latents.mean, self.latents.std

    @property
    def clean(self) -> LatentCache:
        """See `ConcatenatedBaseline`."""
        return self.latents

    def occupancy(self, condition: torch.Tensor) -> torch.Tensor:
        """See `ConcatenatedBaseline`."""
        return latent_occupancy(condition, self.cases.record.compression)
