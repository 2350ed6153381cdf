"""The evaluation segmenter: whether an image shows what its mask says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.evaluation.conformed_cases import ConformedCase
from lldm_aug.evaluation.heldout import HeldOut, refuse_seen
from lldm_aug.evaluation.measure.contents import Tree, trees, vessels_of
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.metrics.dice import cl_dice, dice
from lldm_aug.record import Record
from lldm_aug.report.criterion import finite
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter, check_segmenter, load_segmenter

SEGMENTER = "segmenter"


class Segmentation(Record):
    """What a segmenter finds in one image, against its mask.

    Args:
        dice: of each structure; None where neither mask nor segmentation has it, 0 where only one has.
        present: structures that the mask holds.
        centre_lines: clDice of each vessel, likewise.
        trees: vessels that were found.
    """

    dice: dict[str, float | None]
    present: tuple[str, ...]
    centre_lines: dict[str, float | None]
    trees: dict[str, Tree]

    def centre_line(self, vessel: str) -> float:
        """ClDice of a vessel that the mask holds; NaN if it doesn't."""
        value = self.centre_lines[vessel] if vessel in self.present else None
        return float("nan") if value is None else value

    def dice_of(self, structure: str) -> float:
        """Dice of a structure that the mask holds; NaN if it doesn't."""
        value = self.dice[structure] if structure in self.present else None
        return float("nan") if value is None else value


@dataclass(frozen=True)
class StructureDice:
    """Dice of one structure over cases.

    Args:
        mean: over the cases whose mask holds it; NaN without any.
        cases: how many those are.
        absent: cases whose mask lacks it.
        false_alarms: those of them in which it was found nevertheless.
    """

    mean: float
    cases: int
    absent: int
    false_alarms: int


def open_segmenter(
    given: Path | None,
    own: Path | None,
    schema: LabelSchema,
    num_channels: int,
    device: str,
    heldout: HeldOut | None = None,
) -> EvaluationSegmenter | None:
    """The evaluation segmenter, loaded and checked.

    Args:
        given: its folder; None for the model's own.
        own: folder of the model whose images are measured, if its own segmenter may serve; one that has none does not.
        schema: structures of the masks.
        num_channels: of the images.
        device: where it runs.
        heldout: real cases that it must not have seen.

    Returns:
        None where none was given and the model has none.

    Raises:
        CheckpointError: when there is no segmenter in its folder.
        LabelError: when it lacks structures of the masks, or takes other channels.
        LeakageError: when it has seen a held-out case.
    """
    if given is None and own is not None and (own / SEGMENTER).is_dir():
        given = own
    if given is None:
        return None
    segmenter = load_segmenter(given, device)
    check_segmenter(segmenter, schema, num_channels)
    if heldout is not None:
        refuse_seen(heldout, segmenter.stages, "the evaluation segmenter", given)
    return segmenter


def segment(segmenter: EvaluationSegmenter, case: ConformedCase, schema: LabelSchema) -> Segmentation:
    """Segments a case and compares with its mask; what the mask's schema lacks is read as what lies around it."""
    found = Relabelling(segmenter.schema, schema).apply(segmenter.segment(case.raw, case.grid))
    of_vessels = {name: schema.value(name) for name in vessels_of(schema)}
    return Segmentation(
        dice={name: finite(value) for name, value in dice(found, case.label, schema).items()},
        present=tuple(name for name, value in schema.values.items() if (case.label == value).any()),
        centre_lines={n: finite(cl_dice(found == value, case.label == value)) for n, value in of_vessels.items()},
        trees=trees(found, schema),
    )


def structure_dice(segmentations: Sequence[Segmentation], structure: str) -> StructureDice:
    """One structure over cases: empty ones are counted beside the mean, not dropped unseen."""
    held = [found.dice_of(structure) for found in segmentations if structure in found.present]
    absent = [found.dice[structure] for found in segmentations if structure not in found.present]
    alarms = sum(1 for value in absent if value == 0)
    return StructureDice(float(np.mean(held)) if held else float("nan"), len(held), len(absent), alarms)
