"""Third baseline: latent diffusion without a ControlNet; the mask, sampled down, is concatenated to the latent."""

from __future__ import annotations

import torch
from torch import nn

from lldm_aug.baselines.concatenated import ConcatenatedBaseline
from lldm_aug.baselines.painter import Painter
from lldm_aug.config.schema import Config, ObjectiveSettings, SamplingSettings
from lldm_aug.diffusion.guidance import guided
from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.layers import Factors
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.training.cases import CaseSet, PreparedCase
from lldm_aug.training.export import Export
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import latent_occupancy
from lldm_aug.training.preview import load_autoencoder


class LatentDenoiser(nn.Module):
    """A 3D U-Net of noisy latents and of masks on their grid, where each cell has the mean of its voxels.

    Args:
        structures: S of the condition.
        compression: voxels per latent cell.
        config: sizes of the latent and of the U-Net, those of the generator.
    """

    def __init__(self, structures: int, compression: Factors, config: Config) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(compression)
        self.net = build_denoiser(config.autoencoder.latents, config.denoiser, concatenated=structures)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Prediction for (B, L, x, y, z) noisy latents at network times (B,) under (B, S, X, Y, Z) conditions."""
        out: torch.Tensor = self.net(torch.cat([noisy, self.pool(condition)], dim=1), time)
        return out


class LatentPainter(Painter):
    """Denoiser and autoencoder.

    Args:
        autoencoder: latents to images.
        denoiser: noise to latents.
        mean: of each latent channel; the denoiser's latents are normalised.
        std: likewise.
        objective: what the denoiser predicts.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        denoiser: LatentDenoiser,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        objective: ObjectiveSettings,
    ) -> None:
        super().__init__()
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.mean, self.std, self.objective = mean, std, objective

    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Painter`."""
        withheld = torch.zeros_like(condition) if sampling.guidance != 1 else None
        predict = guided(self.denoiser, condition, withheld, sampling.guidance)
        latent = sample(predict, noise, self.objective, sampling, rng)
        mean, std = (torch.tensor(v, device=latent.device).view(1, -1, 1, 1, 1) for v in (self.mean, self.std))
        return self.autoencoder.decode(latent * std + mean, condition)


class LatentBaseline(ConcatenatedBaseline):
    """Trains a `LatentDenoiser` on the generator's latents.

    Args:
        cases: training cases.
        config: all settings, resolved.
        first: the finished autoencoder, the generator's own.
        latents: of the training cases.
    """

    name = "baseline_latent"

    def __init__(self, cases: CaseSet, config: Config, first: Export, latents: LatentCache) -> None:
        super().__init__(cases, config, config.train.baseline_latent)
        self.first, self.latents = first, latents
        self.noise_shape = (config.autoencoder.latents, *self.cells(cases.record.compression, "grid.shape"))
        self.module = LatentDenoiser(len(cases.schema.names), cases.record.compression, config)
        self.autoencoder = load_autoencoder(cases, config, first)

    @property
    def painter(self) -> LatentPainter:
        """See `BaselineStage`."""
        autoencoder = self.autoencoder.to(next(self.module.parameters()).device)
        return LatentPainter(autoencoder, self.module, *self.latent_statistics, self.config.objective)

    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """Encoded and decoded."""
        autoencoder = self.painter.autoencoder
        device = next(autoencoder.parameters()).device
        condition = self.cases.condition([case_id], case.label[None].to(device))
        return autoencoder.decode(autoencoder.encode(case.image[None].to(device))[0], condition)[0][0]

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
