"""Second baseline: diffusion of voxels with the mask concatenated (Med-DDPM family, arXiv 2305.18453)."""

from __future__ import annotations

import torch

from lldm_aug.baselines.concatenated import ConcatenatedBaseline
from lldm_aug.baselines.painter import Painter
from lldm_aug.baselines.picture import image_of, picture_of
from lldm_aug.baselines.stage import stem_of
from lldm_aug.config.schema import Config, ObjectiveSettings, PixelSettings, SamplingSettings
from lldm_aug.diffusion.guidance import guided
from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth
from lldm_aug.seeds import torch_rng
from lldm_aug.training.cases import CaseSet, PreparedCase
from lldm_aug.training.diffusion import Clean

SLIGHT_TIME = 100.0
"""Network time with little noise, of 1000."""


class PixelDenoiser(Painter):
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
        self.net = build_denoiser(channels * unfolded, settings.denoiser, concatenated=structures * unfolded)

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Prediction for (B, C + 1, X, Y, Z) noisy pictures at network times (B,) under (B, S, X, Y, Z) conditions."""
        seen = space_to_depth(torch.cat([noisy, condition], dim=1), self.stem)
        return depth_to_space(self.net(seen, time), self.stem)

    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Painter`."""
        withheld = torch.zeros_like(condition) if sampling.guidance != 1 else None
        predict = guided(self, condition, withheld, sampling.guidance)
        return image_of(sample(predict, noise, self.objective, sampling, rng))


class PixelBaseline(ConcatenatedBaseline):
    """Trains a `PixelDenoiser`."""

    name = "baseline_pixel"

    def __init__(self, cases: CaseSet, config: Config) -> None:
        super().__init__(cases, config, config.train.baseline_pixel)
        sizes, stem = config.baselines.pixel, stem_of(cases.record, config.baselines.pixel.patch)
        self.cells([f * 2 ** (len(sizes.denoiser.channels) - 1) for f in stem], "baselines.pixel.denoiser.channels")
        self.noise_shape = (self.channels + 1, *cases.record.shape)
        self.module = PixelDenoiser(self.channels + 1, len(cases.schema.names), stem, sizes, config.objective)

    @property
    def painter(self) -> PixelDenoiser:
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
        noisy, _ = self.objective.corrupt(picture, noise.to(device), time)
        condition = self.cases.condition([case_id], case.label[None].to(device))
        return image_of(self.objective.clean(self.module(noisy, time, condition), noisy, time))[0][0]

    @property
    def clean(self) -> Clean:
        """See `ConcatenatedBaseline`."""
        return self

    def occupancy(self, condition: torch.Tensor) -> torch.Tensor:
        """See `ConcatenatedBaseline`."""
        return condition

    def draw(self, case_id: str, generator: torch.Generator) -> torch.Tensor:
        """The picture of a case; there is but one."""
        return picture_of(self.cases.load(case_id))
