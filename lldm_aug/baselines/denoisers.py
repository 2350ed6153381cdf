"""The networks of the two diffusion baselines: the mask is concatenated to what is noisy."""

from __future__ import annotations

import torch
from torch import nn

from lldm_aug.baselines.image_network import BaselineDescription, BaselineSizes, ImageNetwork, image_of
from lldm_aug.config.schema import ObjectiveSettings, PixelSettings, SamplingSettings
from lldm_aug.data.conform import compression_for
from lldm_aug.diffusion.sampler import guided, sample
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth


class PixelDenoiser(ImageNetwork):
    """A 3D U-Net of noisy pictures and masks.

    With blocks of voxels as channels (`stem`), a step costs an eighth, and nothing is lost (arXiv 2301.11093).

    Args:
        channels: C + 1 of the pictures.
        structures: S of the condition.
        stem: voxels per block.
        settings: sizes.
        objective: what it predicts.
    """

    def __init__(
        self, channels: int, structures: int, stem: Factors, settings: PixelSettings, objective: ObjectiveSettings
    ) -> None:
        super().__init__()
        self.stem, self.objective = stem, objective
        unfolded = stem[0] * stem[1] * stem[2]
        self.net = build_denoiser(channels * unfolded, settings.denoiser, objective, concatenated=structures * unfolded)

    @classmethod
    def untrained(cls, d: BaselineDescription) -> PixelDenoiser:
        """See `ImageNetwork`."""
        settings = d.config.baselines.pixel
        stem = compression_for(d.spacing_mm, settings.patch)
        return cls(d.num_channels + 1, len(d.labels.names), stem, settings, d.config.objective)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Prediction for (B, C + 1, X, Y, Z) noisy pictures at network times (B,) under (B, S, X, Y, Z) conditions."""
        seen = space_to_depth(torch.cat([noisy, condition], dim=1), self.stem)
        return depth_to_space(self.net(seen, time), self.stem)

    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ImageNetwork`."""
        withheld = torch.zeros_like(condition) if sampling.guidance != 1 else None
        predict = guided(self, condition, withheld, sampling.guidance)
        return image_of(sample(predict, noise, self.objective, sampling, rng))


class LatentDenoiser(nn.Module):
    """A 3D U-Net of noisy latents and of masks on their grid, where each cell has the mean of its voxels.

    Args:
        structures: S of the condition.
        compression: voxels per latent cell.
        sizes: of the latent and of the U-Net, those of the generator.
    """

    def __init__(self, structures: int, compression: Factors, sizes: BaselineSizes) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(compression)
        self.net = build_denoiser(sizes.autoencoder.latents, sizes.denoiser, sizes.objective, concatenated=structures)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Prediction for (B, L, x, y, z) noisy latents at network times (B,) under (B, S, X, Y, Z) conditions."""
        out: torch.Tensor = self.net(torch.cat([noisy, self.pool(condition)], dim=1), time)
        return out


class LatentImageNetwork(ImageNetwork):
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

    @classmethod
    def untrained(cls, d: BaselineDescription) -> LatentImageNetwork:
        """See `ImageNetwork`."""
        structures = len(d.labels.names)
        autoencoder = Autoencoder(d.num_channels, structures, d.compression, d.config.autoencoder)
        denoiser = LatentDenoiser(structures, d.compression, d.config)
        return cls(autoencoder, denoiser, d.latent_mean, d.latent_std, d.config.objective)

    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ImageNetwork`."""
        withheld = torch.zeros_like(condition) if sampling.guidance != 1 else None
        predict = guided(self.denoiser, condition, withheld, sampling.guidance)
        latent = sample(predict, noise, self.objective, sampling, rng)
        mean, std = (torch.tensor(v, device=latent.device).view(1, -1, 1, 1, 1) for v in (self.mean, self.std))
        return self.autoencoder.decode(latent * std + mean, condition)
