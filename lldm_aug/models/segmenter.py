"""A segmenter on the generator's grid. It is trained on the fold's real cases and segments synthetic images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers.utils import sliding_window_inference
from monai.networks.nets.segresnet import SegResNet
from pydantic import Field, PositiveFloat
from torch import nn

from lldm_aug.config.schema import IntensitySettings, SegmenterSettings
from lldm_aug.config.section import Triple
from lldm_aug.data.conform import compression_for
from lldm_aug.data.intensity import IntensityModel
from lldm_aug.labels import LabelSchema
from lldm_aug.models.config_file import CONFIG_FILE, VersionedDescription
from lldm_aug.models.layers import Factors, depth_to_space, lowest_cell, space_to_depth
from lldm_aug.models.trained_model import TrainedModel
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record

WEIGHTS_FILE = "segmenter.safetensors"
LOW_QUANTILE = 0.05
OVERLAP = 0.25


class HeldoutDice(Record):
    """Dice of one structure over held-out cases that show it.

    Args:
        mean: their mean.
        low: their 5th percentile.
        cases: how many they are.
    """

    mean: float
    low: float
    cases: int


class SegmenterDescription(VersionedDescription):
    """A segmenter without its weights.

    Args:
        shape: voxels of its grid along (X, Y, Z).
        spacing_mm: voxel size of its grid.
        dataset_json: channels, labels and file ending of the data that it learnt.
        intensity: what the training cases say about intensities.
        scaling: how a case's intensities are scaled.
        patch: side lengths of the windows that it sees; None for the whole grid at once.
        segmenter: sizes of the network.
        heldout_cases: training cases of the fold that it was not trained on, but measured.
        heldout_dice: what it scored there, by structure; one that none of them shows is missing.
        stages: what it saw.
    """

    shape: Triple
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    dataset_json: dict[str, Any]
    intensity: IntensityModel
    scaling: IntensitySettings
    patch: Triple | None
    segmenter: SegmenterSettings
    heldout_cases: tuple[str, ...]
    heldout_dice: dict[str, HeldoutDice]
    stages: Annotated[tuple[StageProvenance, ...], Field(min_length=1)]

    @property
    def labels(self) -> LabelSchema:
        """The structures that it finds."""
        return LabelSchema.from_dataset_json(self.dataset_json, CONFIG_FILE)


class SegmentationNet(nn.Module):
    """Space-to-depth stem, MONAI's SegResNet (arXiv 1810.11654), and back to full resolution.

    The stem halves the finer axes without losing a voxel, so that vessels of one or two voxels are still found, at an
    eighth of the cost.

    Args:
        image_channels: channels C of the image.
        structures: S of the schema.
        spacing_mm: voxel size, which decides the axes that the stem halves.
        settings: sizes.
    """

    def __init__(
        self,
        image_channels: int,
        structures: int,
        spacing_mm: tuple[float, float, float],
        settings: SegmenterSettings,
    ) -> None:
        super().__init__()
        self.stem: Factors = compression_for(spacing_mm, finest_factor=2)
        levels = len(settings.blocks)
        self.multiple = lowest_cell(self.stem, levels)
        unfolded = self.stem[0] * self.stem[1] * self.stem[2]
        self.core = SegResNet(
            spatial_dims=3,
            init_filters=settings.filters,
            in_channels=image_channels * unfolded,
            out_channels=(structures + 1) * unfolded,
            norm=("GROUP", {"num_groups": settings.norm_groups}),
            blocks_down=settings.blocks,
            blocks_up=(1,) * (levels - 1),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1 + S, X, Y, Z) of background and structures for a scaled (B, C, X, Y, Z) image."""
        sides = image.shape[2:]
        missing = [-n % m for n, m in zip(sides, self.multiple, strict=True)]
        if any(missing):  # the pairs of F.pad begin with the last axis
            image = F.pad(image, [p for n in reversed(missing) for p in (0, n)], mode="replicate")
        logits = depth_to_space(self.core(space_to_depth(image, self.stem)), self.stem)
        return logits[:, :, : sides[0], : sides[1], : sides[2]]


@torch.inference_mode()
def predict_labels(network: nn.Module, scaled: torch.Tensor, patch: tuple[int, int, int] | None) -> torch.Tensor:
    """Most likely labels (B, X, Y, Z) int16 of scaled (B, C, X, Y, Z) images.

    Args:
        network: images to logits.
        scaled: the images.
        patch: sides of what the network was trained on; it predicts by windows of these. Where an image is smaller, so
            were the patches. None for whole images.
    """
    whole = tuple(scaled.shape[2:])
    window = whole if patch is None else tuple(min(p, n) for p, n in zip(patch, whole, strict=True))
    if window == whole:
        logits = network(scaled)
    else:
        logits = sliding_window_inference(scaled, window, 1, network, overlap=OVERLAP, mode="gaussian")
    labels: torch.Tensor = logits.argmax(1).to(torch.int16)
    return labels


@dataclass(frozen=True)
class Segmenter(TrainedModel):
    """A trained segmenter.

    Args:
        description: everything but the weights.
        network: scaled images to logits.
    """

    described_by = SegmenterDescription

    description: SegmenterDescription
    network: SegmentationNet

    @classmethod
    def untrained(cls, description: SegmenterDescription) -> Segmenter:
        """A network of the right size, weights as initialised."""
        channels = len(description.dataset_json["channel_names"])
        structures = len(description.labels.names)
        return cls(description, SegmentationNet(channels, structures, description.spacing_mm, description.segmenter))

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See `TrainedModel`."""
        return {WEIGHTS_FILE: self.network}

    def segment(self, scaled: torch.Tensor) -> torch.Tensor:
        """Labels (B, X, Y, Z) int16, on the segmenter's device, of scaled (B, C, X, Y, Z) images at its spacing.

        Images that are larger than its grid are segmented by windows of what it was trained on.
        """
        return predict_labels(self.network, scaled.to(self.device), self.description.patch or self.description.shape)


def summarise_dice(scores: Sequence[Mapping[str, float]]) -> dict[str, HeldoutDice]:
    """Mean and 5th percentile by structure over cases; NaN (neither shows the structure) does not count."""
    summary = {}
    for name in scores[0] if scores else ():
        values = np.asarray([score[name] for score in scores])
        values = values[np.isfinite(values)]
        if values.size:
            low = float(np.quantile(values, LOW_QUANTILE))
            summary[name] = HeldoutDice(mean=float(values.mean()), low=low, cases=values.size)
    return summary
