"""What all cells of a study share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lldm_aug.config.section import Triple
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.record import Record

MONAI = "monai"
NNUNET = "nnunet"


class StudySettings(Record):
    """How networks are trained and scored; whatever changes a figure is here.

    Args:
        steps: optimisation steps, the same in every arm.
        batch_size: samples a step.
        patch: sides in voxels of what networks see at once, in training and when they predict. A network with instance
            normalisation becomes another one where it sees more or less than in training.
        spacing_mm: voxel size that cases are resampled to.
        width: features of a network's first level.
        learning_rate: peak, of AdamW with warm-up and cosine decay.
        tolerance_mm: of the normalised surface Dice.
        precision: of the training.
        label_fraction_seed: decides which cases are labelled.
        pairs: cases of a pool that the study makes itself.
        engine: what trains: ``monai``, or ``nnunet`` with its own plans, which then decide spacing, patch, batch,
            widths and optimisation.
        configuration: of nnU-Net's plans.
        plans: their name.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 2
    patch: Triple = (96, 96, 64)
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    width: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-3
    tolerance_mm: PositiveFloat
    precision: Literal["no", "bf16"] = "no"
    label_fraction_seed: Annotated[int, Field(ge=0)] = 0
    pairs: PositiveInt = 200
    engine: Literal["monai", "nnunet"] = "monai"
    configuration: str = "3d_fullres"
    plans: str = "nnUNetPlans"

    @property
    def stage(self) -> SegmenterTrainSettings:
        """The same as settings of the training loop."""
        return SegmenterTrainSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            patch=self.patch,
            learning_rate=self.learning_rate,
            warmup_steps=min(50, self.steps // 10),
            ema_decay=0.99,
            checkpoint_every=500,
        )
