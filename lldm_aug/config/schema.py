"""Every setting of a generator, with its default and range; those of its training are in `lldm_aug.config.stages`."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lldm_aug.config.section import Section
from lldm_aug.config.stages import TrainSettings

Widths = Annotated[tuple[Annotated[int, Field(ge=4, le=4096)], ...], Field(min_length=1, max_length=6)]
PowerOfTwo = Literal[1, 2, 4, 8, 16]
MOST_LATENTS = 64
MOST_STEPS = 500
"""Of a fast solver: with more, diffusers rounds neighbouring times of 0..1000 to the same whole number."""


def _check_groups(channels: tuple[int, ...], groups: int) -> None:
    if any(c % groups for c in channels):
        raise ValueError(f"channels {list(channels)} must be multiples of norm_groups {groups}")


class GridSettings(Section):
    """The generator's grid.

    Args:
        shape: voxels along (X, Y, Z) = (right, anterior, superior).
        spacing_mm: voxel size in mm. None chooses the size at which the shape covers the largest training case, but
            never one finer than the data; with `windows`, None is the median of the training cases.
        windows: whether the grid is a window that moves over the cases, which are then kept whole at this spacing. The
            networks are trained on many such windows, most of them around structures; see
            `lldm_aug.training.window_crops`.
    """

    shape: Annotated[tuple[int, int, int], Field()] = (80, 64, 48)
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    windows: bool = False

    @model_validator(mode="after")
    def _plausible(self) -> GridSettings:
        if not all(8 <= n <= 1024 and n % 4 == 0 for n in self.shape):
            raise ValueError(f"shape {self.shape}: each side must be 8..1024 and a multiple of 4")
        return self


class IntensitySettings(Section):
    """Robust intensity scaling to about [-1, 1].

    Args:
        percentiles: the two percentiles, of the voxels that are not exactly zero, that become -1 and 1.
        limit: scaled values are clipped to [-limit, limit].
        scope: ``case`` scales each case by its own percentiles (MR), ``dataset`` scales all cases by common ones (CT).
            ``auto`` decides by the name of the channel, as nnU-Net does.
    """

    percentiles: tuple[Annotated[float, Field(ge=0, lt=50)], Annotated[float, Field(gt=50, le=100)]] = (0.5, 99.5)
    limit: Annotated[float, Field(ge=1, le=10)] = 1.5
    scope: Literal["auto", "case", "dataset"] = "auto"


class AutoencoderSettings(Section):
    """Autoencoder: space-to-depth stem, MONAI's AutoencoderKL, mask-aware head.

    Args:
        compression: voxels in a latent cell along each axis. None chooses 4 along the finest axis, and along the others
            the power of two that makes cells most like cubes.
        latent_channels: channels of the latent; None chooses a quarter of the numbers in a cell (see `resolved`).
        channels: widths of the levels of AutoencoderKL.
        num_res_blocks: residual blocks in each level.
        head_channels: width of the decoder's head, which works at the stem's resolution.
        norm_groups: groups of the group normalisation.
        mask_aware: whether the decoder's head sees the mask, so that vessels of one or two voxels are kept.
        shortcut: whether a linear code of blocks of voxels, fitted before training, runs beside the networks.
    """

    compression: tuple[PowerOfTwo, PowerOfTwo, PowerOfTwo] | None = None
    latent_channels: Annotated[int, Field(ge=1, le=MOST_LATENTS)] | None = None
    channels: Widths = (32, 64)
    num_res_blocks: Annotated[int, Field(ge=1, le=8)] = 1
    head_channels: Annotated[int, Field(ge=4, le=512)] = 32
    norm_groups: PositiveInt = 16
    mask_aware: bool = True
    shortcut: bool = True

    @model_validator(mode="after")
    def _groups(self) -> AutoencoderSettings:
        _check_groups(self.channels, self.norm_groups)
        return self

    def resolved(self, compression: tuple[int, int, int], channels: int) -> Self:
        """Settings with `latent_channels`: a quarter of the numbers of a latent cell, if they leave it open.

        Args:
            compression: voxels per latent cell.
            channels: numbers per voxel.
        """
        if self.latent_channels is not None:
            return self
        quarter = max(1, channels * prod(compression) // 4)
        return self.model_copy(update={"latent_channels": min(quarter, MOST_LATENTS)})

    @property
    def latents(self) -> int:
        """The channels of the latent, of `resolved` settings."""
        if self.latent_channels is None:
            raise ValueError("autoencoder.latent_channels is left open: call resolved() first")
        return self.latent_channels


class DenoiserSettings(Section):
    """Diffusion U-Net in the latent space, and the ControlNet that copies its encoder.

    Args:
        channels: widths of the levels.
        attention: which levels have self-attention.
        num_res_blocks: residual blocks in each level.
        head_channels: channels of one attention head.
        norm_groups: groups of the group normalisation.
        mask_channels: width of the mask embedding's hidden layer.
    """

    channels: Widths = (48, 96, 96)
    attention: tuple[bool, ...] = (False, False, True)
    num_res_blocks: Annotated[int, Field(ge=1, le=8)] = 1
    head_channels: PositiveInt = 32
    norm_groups: PositiveInt = 16
    mask_channels: Annotated[int, Field(ge=4, le=1024)] = 48

    @model_validator(mode="after")
    def _levels(self) -> DenoiserSettings:
        if len(self.attention) != len(self.channels):
            raise ValueError("attention and channels must have one entry a level")
        _check_groups(self.channels, self.norm_groups)
        # The middle of the U-Net, as wide as the last level, always has attention.
        attending = [c for c, a in zip(self.channels, self.attention, strict=True) if a] + [self.channels[-1]]
        if any(c % self.head_channels for c in attending):
            raise ValueError(
                f"channels with attention {attending} must be multiples of head_channels {self.head_channels}"
            )
        return self


class SegmenterSettings(Section):
    """Evaluation segmenter, which segments synthetic images: space-to-depth stem and MONAI's SegResNet.

    Args:
        filters: width of the first level; each deeper level has twice the width of the one before.
        blocks: residual blocks of each level.
        norm_groups: groups of the group normalisation.
    """

    filters: Annotated[int, Field(ge=4, le=512)] = 32
    blocks: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1, max_length=6)] = (1, 2, 2)
    norm_groups: PositiveInt = 8

    @model_validator(mode="after")
    def _groups(self) -> SegmenterSettings:
        _check_groups((self.filters,), self.norm_groups)
        return self


class ObjectiveSettings(Section):
    """What the denoiser learns.

    Args:
        kind: what the denoiser predicts. With ``skip`` it predicts the clean latent, and a skip connection passes faint
            detail; with ``clean`` it predicts the clean latent alone, with ``flow`` the velocity. These three are
            rectified flow (arXiv 2209.03003). With ``ddpm`` it predicts the noise (arXiv 2006.11239).
        detail: strength of the detail that the skip connection of ``skip`` passes before training, in standard
            deviations of the latent.
        ddpm_steps: length of the DDPM schedule. A shorter one would not end in pure noise, from which sampling starts.
        shift: factor on the odds t / (1 - t) of the noise level t of a flow, in training and in sampling (arXiv
            2403.03206, eq. 23). Above 1, more of the steps are at strong noise. Smooth latents stay visible under
            strong noise and need a larger factor.
        spread: standard deviation of the logarithm of the odds t / (1 - t) at which flows are trained. Latents that mix
            strong and faint content need a wider spread of noise levels.
    """

    kind: Literal["skip", "clean", "flow", "ddpm"] = "skip"
    detail: Annotated[float, Field(gt=0, le=10)] = 0.15
    ddpm_steps: Annotated[int, Field(ge=1000, le=4000)] = 1000
    shift: Annotated[float, Field(ge=0.1, le=100)] = 1.0
    spread: Annotated[float, Field(gt=0, le=5)] = 1.0

    @model_validator(mode="after")
    def _only_flows(self) -> ObjectiveSettings:
        if self.kind == "ddpm" and (self.shift, self.spread) != (1, 1):
            raise ValueError("objective.shift and spread are for flows: objective.kind ddpm has a schedule of its own")
        return self

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for each number of the latent; ``skip`` also learns where detail is strong."""
        return 2 if self.kind == "skip" else 1


class SamplingSettings(Section):
    """How the denoiser is sampled.

    Args:
        solver: ``unipc`` and ``dpmpp`` are solvers of second order; ``euler`` is of first order and works with flows
            only; ``ddpm`` is ancestral sampling and works with the objective ``ddpm`` only.
        steps: evaluations of the denoiser.
        guidance: strength of classifier-free guidance on the mask. 1 turns it off, which halves the cost of a step.
        detail: factor on the learned strength of faint detail, for the objective ``skip``; below 1 images are smoother.
    """

    solver: Literal["unipc", "dpmpp", "euler", "ddpm"] = "unipc"
    steps: Annotated[int, Field(ge=1, le=10000)] = 8
    guidance: Annotated[float, Field(ge=0, le=20)] = 1.0
    detail: Annotated[float, Field(gt=0, le=10)] = 1.0


def check_sampling(objective: ObjectiveSettings, sampling: SamplingSettings) -> None:
    """Raises ValueError when a solver, or so many steps of it, cannot sample what was learnt."""
    if sampling.solver == ("euler" if objective.kind == "ddpm" else "ddpm"):
        raise ValueError(f"sampling.solver {sampling.solver} does not fit objective.kind {objective.kind}")
    most = objective.ddpm_steps if sampling.solver == "ddpm" else int(MOST_STEPS / max(1.0, objective.shift))
    if sampling.steps > most:
        raise ValueError(f"sampling.steps {sampling.steps} is more than the {most} that {sampling.solver} can take")


class MaskAutoencoderSettings(AutoencoderSettings):
    """Autoencoder of masks: it compresses their distance fields, and its head has no mask beside them."""

    mask_aware: Literal[False] = False


class MaskSettings(Section):
    """The generative model of masks: an autoencoder of distance fields, and a denoiser of its latents.

    Args:
        autoencoder: sizes of the autoencoder.
        denoiser: sizes of the U-Net.
        objective: what the U-Net learns. Distance fields are smooth: in 95 parts of noise to 5 parts of field a liver
            can still be seen, while a thin vessel is lost where noise and field have equal parts.
        sampling: how masks are sampled.
        reach_mm: truncation distance; distances to a structure's surface are truncated there.
        examples: about how many deformed copies of the training masks are made in all; each mask gives at least one.
        deformation: how far the copies are deformed. 1 bends them by up to about 20 mm, turns them by up to 6 degrees
            and scales them by up to 12 %; 0 leaves them as they are.
    """

    autoencoder: MaskAutoencoderSettings = MaskAutoencoderSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    objective: ObjectiveSettings = ObjectiveSettings(shift=3.0, spread=1.5)
    sampling: SamplingSettings = SamplingSettings(steps=16)
    reach_mm: Annotated[float, Field(ge=2, le=100)] = 6.0
    examples: Annotated[int, Field(ge=1, le=100000)] = 1000
    deformation: Annotated[float, Field(ge=0, le=2)] = 1.0

    @model_validator(mode="after")
    def _unguided(self) -> MaskSettings:
        if self.sampling.guidance != 1:
            raise ValueError("masks.sampling.guidance must be 1: there is nothing to guide by")
        return self


class GanSettings(Section):
    """The GAN that generators are compared with: a 3D alpha-GAN conditioned on the mask (arXiv 1908.02498).

    Args:
        channels: widths of the levels of encoder, generator and image critic, finest first; each level halves the grid.
        code_channels: numbers in each cell of the code, which lies on the coarsest grid.
        code_critic: width of the critic of codes.
        norm_groups: groups of the group normalisation; the critics have none.
    """

    channels: Widths = (24, 48, 96, 128)
    code_channels: Annotated[int, Field(ge=1, le=256)] = 8
    code_critic: Annotated[int, Field(ge=4, le=4096)] = 256
    norm_groups: PositiveInt = 8

    @model_validator(mode="after")
    def _groups(self) -> GanSettings:
        _check_groups(self.channels, self.norm_groups)
        return self


class PixelSettings(Section):
    """The diffusion of voxels, with the mask concatenated, that generators are compared with (arXiv 2305.18453).

    Args:
        patch: side of the blocks of voxels (along the finest axis) that become channels before the U-Net; 1 gives the
            plain U-Net of the paper.
        denoiser: sizes of the U-Net.
        sampling: how images are sampled. The fine noise in an image needs more steps than a latent does.
    """

    patch: Literal[1, 2, 4] = 2
    denoiser: DenoiserSettings = DenoiserSettings(channels=(32, 64, 96, 96), attention=(False, False, False, True))
    sampling: SamplingSettings = SamplingSettings(steps=16)


class BaselineSettings(Section):
    """The baselines that generators are compared with. The third one, latent diffusion without a ControlNet, has the
    sizes of the generator.

    Args:
        gan: sizes of the GAN.
        pixel: sizes of the diffusion model of voxels.
        texture: whether the texture that their samples lack is measured and put back, as for the generator.
    """

    gan: GanSettings = GanSettings()
    pixel: PixelSettings = PixelSettings()
    texture: bool = True


class Config(Section):
    """All settings of a generator and its training.

    Args:
        seed: decides every random number.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    grid: GridSettings = GridSettings()
    intensity: IntensitySettings = IntensitySettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    sampling: SamplingSettings = SamplingSettings()
    masks: MaskSettings = MaskSettings()
    baselines: BaselineSettings = BaselineSettings()
    train: TrainSettings = TrainSettings()

    @model_validator(mode="after")
    def _solver_fits(self) -> Config:
        check_sampling(self.objective, self.sampling)
        check_sampling(self.masks.objective, self.masks.sampling)
        check_sampling(self.objective, self.baselines.pixel.sampling)
        return self
