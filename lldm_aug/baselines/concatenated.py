"""Second and third baseline: diffusion of voxels and of latents with the mask concatenated.

Diffusion of voxels is of the Med-DDPM family (arXiv 2305.18453). Latent diffusion has no ControlNet; its mask is
sampled down.
"""

from __future__ import annotations

import torch

from lldm_aug.baselines.baseline_stage import ConcatenatedBaseline, ConcatenatedConfig
from lldm_aug.baselines.denoisers import LatentDenoiser, LatentImageNetwork, PixelDenoiser
from lldm_aug.baselines.image_network import image_of, picture_of
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.conform import compression_for
from lldm_aug.geometry import Box
from lldm_aug.models.layers import lowest_cell
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.seeds import torch_rng
from lldm_aug.training.diffusion_stage import Clean
from lldm_aug.training.export import Export
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import latent_occupancy
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase
from lldm_aug.training.preview import load_autoencoder, reconstructed

SLIGHT_TIME = 100.0
"""Network time with little noise, of 1000."""


class PixelBaseline(ConcatenatedBaseline):
    """Trains a `PixelDenoiser`."""

    name = "baseline_pixel"

    def __init__(self, cases: CaseSet, config: ConcatenatedConfig) -> None:
        super().__init__(cases, config)
        sizes, stem = config.baselines.pixel, compression_for(cases.record.spacing_mm, config.baselines.pixel.patch)
        self.cells(lowest_cell(stem, len(sizes.denoiser.channels)), "baselines.pixel.denoiser.channels")
        self.noise_shape = (self.channels + 1, *cases.record.shape)
        self.module = PixelDenoiser(self.channels + 1, len(cases.schema.names), stem, sizes, config.objective)

    @classmethod
    def build(cls, inputs: StageInputs) -> PixelBaseline:
        """See `Trainer`."""
        return cls(inputs.cases, inputs.own(ConcatenatedConfig))

    @property
    def image_network(self) -> PixelDenoiser:
        """See `BaselineStage`."""
        return self.module

    @property
    def sampling(self) -> SamplingSettings:
        """See `BaselineStage`."""
        return self.config.baselines.pixel.sampling

    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """Made a little noisy, and denoised in one step."""
        device = next(self.module.parameters()).device
        picture, time = picture_of(case)[None].to(device), torch.full((1,), SLIGHT_TIME, device=device)
        noise = torch.randn(picture.shape, generator=torch_rng(self.config.seed, self.name, "reconstruct", case_id))
        noisy = self.objective.corrupt(picture, noise.to(device), time)
        condition = self.cases.condition([case_id], case.label[None].to(device))
        return image_of(self.objective.clean(self.module(noisy, time, condition), noisy, time))[0][0]

    @property
    def clean(self) -> Clean:
        """See `ConcatenatedBaseline`."""
        return self

    def occupancy(self, condition: torch.Tensor) -> torch.Tensor:
        """See `ConcatenatedBaseline`."""
        return condition

    def draw(self, case_id: str, generator: torch.Generator, box: Box | None = None) -> torch.Tensor:
        """The picture of a case, or of its part in a box; there is but one."""
        return picture_of(self.cases.load(case_id, box))


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
