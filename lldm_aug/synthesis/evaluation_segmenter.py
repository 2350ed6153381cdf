"""Who judges synthetic images: a segmenter of real cases that knows what it scores on real ones it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import measure_scale
from lldm_aug.data.resample import canonical_grid, from_canonical, resample_labels
from lldm_aug.errors import CheckpointError, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.models.segmenter import HeldoutDice, Segmenter
from lldm_aug.plugins import SEGMENTERS, plugins
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.volume import Volume

WEIGHTS = "segmenter.safetensors"
PLACES = (".", "export", "segmenter", "segmenter/export")
"""Where a segmenter may lie: in its own folder, its stage, a generator, or a run."""


class EvaluationSegmenter(Protocol):
    """Segments images as real cases would be."""

    @property
    def hash(self) -> str:
        """Its identity."""

    @property
    def schema(self) -> LabelSchema:
        """The structures that it finds."""

    @property
    def num_channels(self) -> int:
        """Image channels that it takes."""

    @property
    def heldout_dice(self) -> Mapping[str, HeldoutDice]:
        """What it scores, by structure, on real cases that it was not trained on."""

    @property
    def stages(self) -> tuple[StageProvenance, ...]:
        """What it saw: what it lets through, it has had a say in."""

    def segment(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        """Labels (X, Y, Z) int16 on the grid of a (C, X, Y, Z) image in the data's own units."""


@dataclass(frozen=True)
class OwnSegmenter:
    """A `Segmenter` for images of any grid.

    Args:
        segmenter: the segmenter.
    """

    segmenter: Segmenter

    @property
    def hash(self) -> str:
        """See `EvaluationSegmenter`."""
        return self.segmenter.hash

    @property
    def schema(self) -> LabelSchema:
        """See `EvaluationSegmenter`."""
        return self.segmenter.description.labels

    @property
    def num_channels(self) -> int:
        """See `EvaluationSegmenter`."""
        return len(self.segmenter.description.dataset_json["channel_names"])

    @property
    def heldout_dice(self) -> Mapping[str, HeldoutDice]:
        """See `EvaluationSegmenter`."""
        return self.segmenter.description.heldout_dice

    @property
    def stages(self) -> tuple[StageProvenance, ...]:
        """See `EvaluationSegmenter`."""
        return self.segmenter.description.stages

    def segment(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        """See `EvaluationSegmenter`."""
        description = self.segmenter.description
        frame = self._frame(grid)
        names = list(description.dataset_json["channel_names"].values())
        common = description.intensity.common_scale(description.scaling, names)
        scale = common or measure_scale(image, description.scaling)
        scaled = scale.apply(frame.image_in(image), description.intensity.limit)
        found = self.segmenter.segment(torch.from_numpy(scaled)[None])[0].cpu().numpy()
        return from_canonical(resample_labels(found, frame.grid, canonical_grid(grid)), grid)

    def _frame(self, grid: Grid) -> Frame:
        """The segmenter's field of view around the middle of a grid, larger where that does not cover it."""
        description = self.segmenter.description
        extent = np.multiply(canonical_grid(grid).shape, canonical_grid(grid).spacing_mm)
        needed = np.ceil(extent / description.spacing_mm - 0.5).astype(int)  # half a voxel may stick out
        x, y, z = (max(int(a), b) for a, b in zip(needed, description.shape, strict=True))
        return Frame.around(Volume(np.zeros(grid.shape, np.int16), grid), (x, y, z), description.spacing_mm)


class LoadSegmenter(Protocol):
    """Loads a kind of evaluation segmenter from a folder; None where the folder holds something else."""

    def __call__(self, path: Path, device: torch.device) -> EvaluationSegmenter | None:
        """Errors as `load_segmenter`."""


def load_segmenter(path: Path, device: torch.device | str = "cpu") -> EvaluationSegmenter:
    """An evaluation segmenter from a segmenter folder, a run or generator folder that holds one, or a trained nnU-Net
    model.

    Args:
        path: such a folder; of nnU-Net, ``TRAINER__PLANS__CONFIGURATION`` or a ``fold_X`` in it.
        device: where it is to run.

    Raises:
        CheckpointError: when there is none, or it is damaged.
        DatasetError: when it is not known what an nnU-Net model saw and scored.
    """
    for place in PLACES:
        if (path / place / WEIGHTS).is_file():
            return OwnSegmenter(Segmenter.load(path / place).to(device))
    loaders: list[LoadSegmenter] = [load for _, load in plugins(SEGMENTERS)]
    for load in loaders:
        if (segmenter := load(path, torch.device(device))) is not None:
            return segmenter
    raise CheckpointError(
        "no segmenter",
        where=path,
        fix="train one with 'lldm-aug train segmenter' and point --segmenter to its run, or to a model of nnU-Net",
    )


def check_segmenter(segmenter: EvaluationSegmenter, schema: LabelSchema, num_channels: int) -> None:
    """Raises LabelError when an evaluation segmenter does not find the structures of masks, or take the channels, of a
    generator.

    It may find more: these are read as what lies around them (see `lldm_aug.masks.relabelling`).
    """
    if not {*schema.names} <= {*segmenter.schema.names}:
        found, asked = ", ".join(segmenter.schema.names), ", ".join(schema.names)
        raise LabelError(
            f"the evaluation segmenter finds {found}; the masks have {asked}", fix="give another --segmenter"
        )
    if segmenter.num_channels != num_channels:
        raise LabelError(
            f"the evaluation segmenter takes {segmenter.num_channels} channels; the generator makes {num_channels}",
            fix="give another --segmenter",
        )
