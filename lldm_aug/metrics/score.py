"""All metrics of one predicted case, structure by structure; empty structures are reported, not left out."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects

from lldm_aug.anatomy.limits import VESSELS
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import cl_dice, dice
from lldm_aug.metrics.lesion_detection import ANY_SIZE, SIZES_MM, Detection, detect
from lldm_aug.record import Record

Spacing = tuple[float, float, float]
OUTLYING = 95
"""Percentile of distances that the robust Hausdorff distance takes instead of the maximum."""


@dataclass(frozen=True)
class SurfaceAgreement:
    """Two figures of one pair of structures.

    Args:
        nsd: normalised surface Dice: share of both surfaces that lies within the tolerance of the other one
            (Nikolov et al., arXiv 1809.04430), each voxel of a surface counted once.
        hd95_mm: the larger of the two directed distances that 95 % of a surface stay below.
    """

    nsd: float
    hd95_mm: float


def surface_agreement(one: np.ndarray, other: np.ndarray, spacing_mm: Spacing, tolerance_mm: float) -> SurfaceAgreement:
    """Compares the surfaces of two boolean (X, Y, Z) structures; a surface are the voxels with a face to the outside.

    Both empty gives NaN. Only one empty gives an NSD of 0 and, as HD95, the diagonal of the grid: no distance is
    defined there, and none could be larger.
    """
    if not one.any() or not other.any():
        diagonal = float(np.linalg.norm(np.asarray(one.shape) * spacing_mm))
        both = one.any() == other.any()
        return SurfaceAgreement(float("nan"), float("nan")) if both else SurfaceAgreement(0.0, diagonal)
    (box,) = find_objects((one | other).astype(np.uint8))
    first, second = _surface(one[box]), _surface(other[box])
    there = distance_transform_edt(~second, sampling=spacing_mm)[first]
    back = distance_transform_edt(~first, sampling=spacing_mm)[second]
    near = np.count_nonzero(there <= tolerance_mm) + np.count_nonzero(back <= tolerance_mm)
    hd95 = max(float(np.percentile(there, OUTLYING)), float(np.percentile(back, OUTLYING)))
    return SurfaceAgreement(near / (there.size + back.size), hd95)


def _surface(structure: np.ndarray) -> np.ndarray:
    surface: np.ndarray = structure & ~binary_erosion(structure)
    return surface


METRICS = ("dice", "nsd", "hd95_mm", "cl_dice", "lesion_recall", "lesion_precision", "lesion_f1")
"""In the order of tables; of all but ``hd95_mm`` more is better."""
LESS_IS_BETTER = frozenset({"hd95_mm"})
UNKNOWN = "not annotated"


class StructureScore(Record):
    """One structure of one case.

    Args:
        structure: its name.
        empty: ``truth``, ``prediction`` or ``both``: what lacks the structure; ``not annotated`` if the truth does not
            tell; nothing if both have it.
        metrics: figures by name, all of `METRICS`; None where one is not defined (both empty) or not asked for (centre
            lines of what is no vessel, counts of what is no lesion).
        lesions: counts by size class of a lesion: true ones, found, finds, right ones; empty for other structures.
    """

    structure: str
    empty: str
    metrics: dict[str, float | None]
    lesions: dict[str, tuple[int, int, int, int]] = Field(default_factory=dict)


def score_case(
    prediction: np.ndarray,
    truth: np.ndarray,
    schema: LabelSchema,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
    unknown: Collection[str] = (),
    *,
    lesions: Collection[str],
) -> tuple[StructureScore, ...]:
    """Scores of all structures of a schema.

    Args:
        prediction: (X, Y, Z) integers.
        truth: (X, Y, Z) integers; voxels of the ignore label count nowhere.
        schema: what the integers mean.
        spacing_mm: voxel size.
        tolerance_mm: of the normalised surface Dice.
        unknown: structures that are not annotated in this case.
        lesions: structures that are lesions: their connected components are counted, too.
    """
    if schema.ignore is not None:
        counted = truth != schema.ignore
        prediction, truth = prediction * counted, truth * counted
    overlaps = dice(prediction, truth, schema)
    return tuple(
        StructureScore(structure=name, empty=UNKNOWN, metrics=dict.fromkeys(METRICS))
        if name in unknown
        else _score(
            name, prediction == value, truth == value, spacing_mm, tolerance_mm, overlaps[name], lesion=name in lesions
        )
        for name, value in schema.values.items()
    )


def _score(
    name: str,
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
    overlap: float,
    *,
    lesion: bool,
) -> StructureScore:
    surfaces = surface_agreement(prediction, truth, spacing_mm, tolerance_mm)
    counts = detect(prediction, truth, spacing_mm) if lesion else {}
    whole = counts.get(ANY_SIZE, Detection())
    figures = {
        "dice": overlap,
        "nsd": surfaces.nsd,
        "hd95_mm": surfaces.hd95_mm,
        "cl_dice": cl_dice(prediction, truth) if name in VESSELS else math.nan,
        "lesion_recall": whole.recall,
        "lesion_precision": whole.precision,
        "lesion_f1": whole.f1,
    }
    has = (bool(truth.any()), bool(prediction.any()))
    empty = {(True, True): "", (True, False): "prediction", (False, True): "truth", (False, False): "both"}[has]
    return StructureScore(
        structure=name,
        empty=empty,
        metrics={metric: None if math.isnan(value) else value for metric, value in figures.items()},
        lesions={
            size: (counts[size].true, counts[size].found, counts[size].predicted, counts[size].right)
            for size in (ANY_SIZE, *SIZES_MM)
            if counts
        },
    )
