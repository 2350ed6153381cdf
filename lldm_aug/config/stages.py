"""Settings of the optimisation of each stage, with their defaults and ranges."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lldm_aug.config.section import Section, Share, Triple


class StageSettings(Section):
    """Optimisation of one stage.

    Args:
        steps: optimiser steps.
        batch_size: samples a step over all processes and accumulated parts together.
        accumulate: parts that a batch is split into, one after the other, to save memory.
        learning_rate: peak of a linear warm-up with cosine decay (AdamW).
        warmup_steps: steps of the warm-up.
        weight_decay: of AdamW.
        clip_norm: bound of the gradient's norm.
        ema_decay: decay of the exponential moving average of the weights.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: how many are kept.
        preview_every: steps between pictures; 0 for none but the last.
        log_every: steps between lines of ``stats.jsonl``.
    """

    of_images: ClassVar[bool] = True
    """Whether the stage is part of what makes a model's images, rather than what judges them or draws their masks."""

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 4
    accumulate: PositiveInt = 1
    learning_rate: PositiveFloat = 5e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    clip_norm: PositiveFloat = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    checkpoint_every: PositiveInt = 250
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    preview_every: Annotated[int, Field(ge=0)] = 500
    log_every: PositiveInt = 10


class AutoencoderTrainSettings(StageSettings):
    """Training of the autoencoder.

    Args:
        patch: side lengths of the random crops that it is trained on; None for whole volumes.
        kl_weight: weight of the Kullback-Leibler term.
        background_weight: weight of the loss that finds exact zeros.
        structure_weight: extra weight of voxels with a label, shared evenly between the structures.
        drop_mask: share of samples whose mask is withheld whole from the decoder's head, so that it can do without.
        drop_structure: share of structures whose mask is withheld (for partial labels).
    """

    patch: Triple | None = None
    kl_weight: Annotated[float, Field(ge=0)] = 1e-6
    background_weight: Annotated[float, Field(ge=0)] = 0.1
    structure_weight: Annotated[float, Field(ge=0)] = 0.5
    drop_mask: Share = 0.1
    drop_structure: Share = 0.05


class DiffusionTrainSettings(StageSettings):
    """Training of the diffusion model without masks."""


class ControlNetTrainSettings(StageSettings):
    """Training of the mask's control.

    Args:
        train_denoiser: whether the diffusion model learns on with it (better from scratch), or is frozen (fine-tuning).
        drop_mask: share of samples whose mask is withheld whole (for guidance).
        drop_structure: share of structures whose mask is withheld (for partial labels).
        structure_weight: extra weight of latent cells with a label, shared evenly between the structures.
        inpainting: whether it is told what is around a region, drawn anew for each sample, that it is to paint; see
            `lldm_aug.training.inpainting`. A whole image is such a region, too.
        score_every: steps between measurements of mask consistency, by which the exported weights are chosen if the
            run has a segmenter; 0 exports the last ones.
        score_cases: deformed training masks that it is measured on.
    """

    train_denoiser: bool = True
    drop_mask: Share = 0.1
    drop_structure: Share = 0.1
    structure_weight: Annotated[float, Field(ge=0)] = 0.5
    inpainting: bool = False
    score_every: Annotated[int, Field(ge=0)] = 500
    score_cases: Annotated[int, Field(ge=1, le=64)] = 8


class SegmenterTrainSettings(StageSettings):
    """Training of the segmenter.

    Args:
        patch: side lengths of the windows that it is trained on, and later used with; None for whole volumes.
        centre_on_structure: share of windows around a voxel of a structure, each structure alike.
        structure_weight: extra weight of voxels with a label in the cross-entropy, shared between the structures alike.
    """

    of_images: ClassVar[bool] = False

    steps: PositiveInt = 600
    batch_size: PositiveInt = 2
    learning_rate: PositiveFloat = 2e-3
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    preview_every: Annotated[int, Field(ge=0)] = 0
    patch: Triple | None = None
    centre_on_structure: Share = 0.7
    structure_weight: Annotated[float, Field(ge=0)] = 1.0


class MasksAutoencoderTrainSettings(StageSettings):
    """Training of the autoencoder of masks.

    Args:
        patch: side lengths of the random crops that it is trained on; None for whole volumes.
        kl_weight: weight of the Kullback-Leibler term.
        overlap_weight: weight of cross-entropy and soft Dice of the structures beside the error of their distances.
    """

    of_images: ClassVar[bool] = False

    learning_rate: PositiveFloat = 1e-3
    patch: Triple | None = None
    kl_weight: Annotated[float, Field(ge=0)] = 1e-5
    overlap_weight: Annotated[float, Field(ge=0)] = 1.0


class MasksDiffusionTrainSettings(StageSettings):
    """Training of the diffusion model of masks."""

    of_images: ClassVar[bool] = False

    steps: PositiveInt = 2000
    batch_size: PositiveInt = 8


class GanTrainSettings(StageSettings):
    """Training of the GAN: in each step the critics take a turn, then encoder and generator.

    Args:
        critic_rate: learning rate of the critics, as a multiple (arXiv 1706.08500).
        momentum: first beta of AdamW; the second is 0.99.
        reconstruction_weight: weight of the error of images that are encoded and made again.
        penalty_weight: weight of the gradient penalty (R1, arXiv 1801.04406).
    """

    clip_norm: PositiveFloat = 10.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    critic_rate: PositiveFloat = 2.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    reconstruction_weight: Annotated[float, Field(ge=0)] = 10.0
    penalty_weight: Annotated[float, Field(ge=0)] = 0.01


class ConcatenatedTrainSettings(StageSettings):
    """Training of a diffusion model that the mask is concatenated to.

    Args:
        drop_mask: share of samples whose mask is withheld whole (for guidance).
        drop_structure: share of structures whose mask is withheld (for partial labels).
        structure_weight: extra weight of places with a label, shared evenly between the structures.
    """

    learning_rate: PositiveFloat = 1e-3
    drop_mask: Share = 0.1
    drop_structure: Share = 0.1
    structure_weight: Annotated[float, Field(ge=0)] = 0.5


class TrainSettings(Section):
    """What all stages share, and the stages.

    Args:
        precision: ``no`` for float32, or ``bf16``; it alone decides, whatever an Accelerate configuration says.
    """

    precision: Literal["no", "bf16"] = "no"
    autoencoder: AutoencoderTrainSettings = AutoencoderTrainSettings()
    diffusion: DiffusionTrainSettings = DiffusionTrainSettings()
    controlnet: ControlNetTrainSettings = ControlNetTrainSettings()
    segmenter: SegmenterTrainSettings = SegmenterTrainSettings()
    masks_autoencoder: MasksAutoencoderTrainSettings = MasksAutoencoderTrainSettings()
    masks_diffusion: MasksDiffusionTrainSettings = MasksDiffusionTrainSettings()
    baseline_gan: GanTrainSettings = GanTrainSettings()
    baseline_pixel: ConcatenatedTrainSettings = ConcatenatedTrainSettings()
    baseline_latent: ConcatenatedTrainSettings = ConcatenatedTrainSettings()


STAGE_SETTINGS: dict[str, type[StageSettings]] = {
    name: field.annotation
    for name, field in TrainSettings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, StageSettings)
}
"""The settings of each stage, in the order in which reports list stages; see `lldm_aug.stages.table` for the rest."""
NOT_OF_IMAGES = frozenset(name for name, settings in STAGE_SETTINGS.items() if not settings.of_images)
"""Stages in a pool's history that are no part of what makes its images: they judge them, or draw their masks."""
