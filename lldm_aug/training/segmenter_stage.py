"""The segmenter's stage: trained on the fold's real cases, measured on some of them that it does not train on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from lldm_aug.config.part import StageConfig
from lldm_aug.config.schema import IntensitySettings, SegmenterSettings
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.errors import DatasetError
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import shown_dice
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.segmenter import (
    SegmentationNet,
    Segmenter,
    SegmenterDescription,
    predict_labels,
    summarise_dice,
)
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.training.augment import SLIGHT, augmented
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.losses import soft_dice_loss, structure_weights
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase
from lldm_aug.training.window_crops import Sides

HOLD_OUT_EVERY = 5
IGNORED = -1


class SegmenterConfig(StageConfig[SegmenterTrainSettings]):
    """Settings of the stage.

    Args:
        segmenter: sizes of the network.
        intensity: how a case's intensities are scaled.
    """

    segmenter: SegmenterSettings
    intensity: IntensitySettings


class SegmenterStage:
    """Trains a `SegmentationNet` with cross-entropy and soft Dice on augmented cases.

    Raises:
        DatasetError: for a fold with one training case, of which none could be held out.
    """

    name = "segmenter"

    def __init__(self, cases: CaseSet, config: SegmenterConfig) -> None:
        self.cases = cases
        self.config = config
        self.settings = config.train.model_copy(update={"patch": cases.patch(config.train.patch)})
        self.heldout = cases.case_ids[::HOLD_OUT_EVERY]
        self.case_ids = tuple(case_id for case_id in cases.case_ids if case_id not in self.heldout)
        if not self.case_ids:
            raise DatasetError("a segmenter needs two training cases, one to be measured on", where=cases.folder)
        channels = len(cases.record.dataset_json["channel_names"])
        self.module = SegmentationNet(channels, len(cases.schema.names), cases.record.spacing_mm, config.segmenter)

    @classmethod
    def build(cls, inputs: StageInputs) -> SegmenterStage:
        """See `Trainer`."""
        return cls(inputs.cases, inputs.own(SegmenterConfig))

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        pairs = [self._view(row) for row in rows]
        image = torch.stack([image for image, _ in pairs]).to(device)
        label = torch.stack([label for _, label in pairs]).to(device)
        return segmentation_loss(model(image), label, self.cases.schema, self.settings.structure_weight)

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Held-out cases with their own masks above those found."""
        rows = []
        for case_id in self.heldout[:3]:
            case, found = self._found(case_id)
            for caption, label in ((case_id, case.label), ("found", found)):
                spacing = self.cases.record.spacing_mm
                rows.append(MosaicRow(case.image[0].numpy(), label.numpy(), spacing, caption, case.label.numpy()))
        write_mosaic(path, rows, title="Held-out cases: true and found", schema=self.cases.schema)

    def export(self, folder: Path) -> None:
        """The segmenter with its Dice on the held-out cases, which count as seen: the quality filter is set by them."""
        scores = []
        for case_id in self.heldout:
            case, found = self._found(case_id)
            scores.append(shown_dice(found.numpy(), case.label.numpy(), self.cases.schema))
        record = self.cases.record
        description = record.describe(
            SegmenterDescription,
            scaling=self.config.intensity,
            patch=self.settings.patch,
            segmenter=self.config.segmenter,
            heldout_cases=self.heldout,
            heldout_dice=summarise_dice(scores),
            stages=(self.cases.provenance(self.name),),
        )
        Segmenter(description, self.module).save(folder)

    def _view(self, row: Row) -> tuple[torch.Tensor, torch.Tensor]:
        (box,) = self.cases.drawn([row], self.config.seed, self.name, self._reach)
        case = self.cases.load(row.case_id, box)
        if box is not None:
            inside = self.cases.inside([row.case_id], [box])[0, 0]
            case = replace(case, label=case.label.masked_fill(~inside, IGNORED))
        return augmented(case.image, case.label, self.settings, self.config.seed, row.step, row.number)

    @property
    def _reach(self) -> Sides | None:
        """Sides of what patches are taken from, so that they can be scaled."""
        if self.settings.patch is None:
            return None
        x, y, z = (math.ceil(n * max(SLIGHT.zoom)) for n in self.settings.patch)
        return x, y, z

    def _found(self, case_id: str) -> tuple[PreparedCase, torch.Tensor]:
        """A whole case, and the label (X, Y, Z) that is found in it."""
        case, device = self.cases.load(case_id, self.cases.whole(case_id)), next(self.module.parameters()).device
        found = predict_labels(self.module, case.image[None].to(device), self.settings.patch)[0].cpu()
        if self.cases.record.windows:
            found = found * self.cases.inside([case_id], [self.cases.whole(case_id)])[0, 0]
        return case, found


def segmentation_loss(
    logits: torch.Tensor, label: torch.Tensor, schema: LabelSchema, structure_weight: float
) -> tuple[torch.Tensor, dict[str, float]]:
    """Weighted cross-entropy plus `soft_dice_loss`, and both apart to log.

    Args:
        logits: (B, 1 + S, X, Y, Z).
        label: (B, X, Y, Z) integers; voxels of the ignore label do not count.
        schema: what they mean.
        structure_weight: see `structure_weights`.
    """
    label = label.long()
    weights = structure_weights(encode_mask(label, schema), structure_weight)
    if schema.ignore is not None:
        label = label.masked_fill(label == schema.ignore, IGNORED)
    entropy = (weights[:, 0] * F.cross_entropy(logits, label, ignore_index=IGNORED, reduction="none")).mean()
    counted = (label != IGNORED)[:, None]
    truth = F.one_hot(label.clamp(min=0), logits.shape[1]).movedim(-1, 1)
    share, truth = ((t * counted)[:, 1:] for t in (logits.softmax(1), truth))
    overlap = soft_dice_loss(share, truth, smooth=1.0)
    return entropy + overlap, {"entropy": entropy.item(), "dice_loss": overlap.item()}
