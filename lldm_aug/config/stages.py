"""Settings of the optimisation of each stage, with their defaults and ranges."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lldm_aug.config.section import Section, Share, Triple


class StageSettings(Section):
    """Optimisation of one stage.

    Args:
        steps: optimiser steps.
        batch_size: samples in a step, over all processes and accumulated parts together.
        accumulate: parts that a batch is split into and that are worked on one after the other, to save memory.
        learning_rate: peak learning rate (AdamW), after a linear warm-up and before a cosine decay.
        warmup_steps: steps of the warm-up.
        weight_decay: weight decay of AdamW.
        clip_norm: largest norm of the gradient; longer gradients are scaled down to it.
        ema_decay: decay of the exponential moving average of the weights.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: number of checkpoints that are kept.
        preview_every: steps between pictures in ``samples/``; 0 draws the last one alone.
        log_every: steps between lines of ``stats.jsonl``.
    """

    of_images: ClassVar[bool] = True
    """Whether the stage is part of what makes a model's images, rather than of what segments them or draws masks."""

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
        patch: side lengths of the random crops that it is trained on; None takes whole volumes.
        kl_weight: weight of the Kullback-Leibler term.
        background_weight: weight of the loss of predicting which voxels are exactly zero.
        structure_weight: extra weight of voxels with a label, shared evenly between the structures.
        drop_mask: fraction of the samples whose whole mask is withheld from the decoder's head, so that the head can
            work without a mask.
        drop_structure: fraction of the structures that are withheld (condition dropout), so that the head can work with
            partial labels.
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
    """Training of the ControlNet, by which the mask steers the denoiser.

    Args:
        train_denoiser: whether the denoiser goes on learning together with the ControlNet (better from scratch); false
            freezes it (better for fine-tuning on few cases).
        drop_mask: fraction of the samples whose whole mask is withheld, without which guidance would not work.
        drop_structure: fraction of the structures that are withheld (condition dropout), so that masks may leave some
            structures unknown.
        structure_weight: extra weight of latent cells with a label, shared evenly between the structures.
        inpainting: whether the ControlNet is conditioned on the surroundings of the region to be painted, which is
            drawn anew for each sample and may be the whole image; see `lldm_aug.training.inpainting`.
        score_every: steps between measurements of mask consistency, by which the exported weights are chosen if the
            run has a segmenter; 0 exports the last weights.
        score_cases: number of deformed training masks that mask consistency is measured on.
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
        patch: side lengths of the windows that it is trained on and later used with; None takes whole volumes.
        centre_on_structure: fraction of the windows that lie around a voxel of a structure; each structure is equally
            likely.
        structure_weight: extra weight of voxels with a label in the cross-entropy, shared evenly between structures.
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
        patch: side lengths of the random crops that it is trained on; None takes whole volumes.
        kl_weight: weight of the Kullback-Leibler term.
        overlap_weight: weight of the structures' cross-entropy and soft Dice, against 1 for the error of the distances.
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
    """Training of the GAN: each step updates the critics first, then encoder and generator.

    Args:
        critic_rate: learning rate of the critics, as a multiple of `learning_rate` (arXiv 1706.08500).
        momentum: first beta of AdamW; the second is 0.99.
        reconstruction_weight: weight of the L1 error of images that are encoded and generated again.
        penalty_weight: weight of the gradient penalty (R1, arXiv 1801.04406).
    """

    clip_norm: PositiveFloat = 10.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    critic_rate: PositiveFloat = 2.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    reconstruction_weight: Annotated[float, Field(ge=0)] = 10.0
    penalty_weight: Annotated[float, Field(ge=0)] = 0.01


class ConcatenatedTrainSettings(StageSettings):
    """Training of a diffusion model whose input is the noisy image or latent with the mask as further channels.

    Args:
        drop_mask: fraction of the samples whose whole mask is withheld, without which guidance would not work.
        drop_structure: fraction of the structures that are withheld (condition dropout), so that masks may leave some
            structures unknown.
        structure_weight: extra weight of voxels or latent cells with a label, shared evenly between the structures.
    """

    learning_rate: PositiveFloat = 1e-3
    drop_mask: Share = 0.1
    drop_structure: Share = 0.1
    structure_weight: Annotated[float, Field(ge=0)] = 0.5


class TrainSettings(Section):
    """The precision that all stages share, and the settings of each stage.

    Args:
        precision: ``no`` (float32) or ``bf16``. The precision of an Accelerate configuration is not used.
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
"""Stages in a pool's history that are no part of what makes its images: they segment them, or draw their masks."""
