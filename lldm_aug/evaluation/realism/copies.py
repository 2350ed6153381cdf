"""Memorization check of painted lesions: are they nearer to real lesions of other patients than real ones are?

Whole images are no use for it: outside of the region they are the host's by design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lldm_aug.evaluation.measure.features import FeatureCache, pooled
from lldm_aug.evaluation.measure.neighbours import Neighbours, decorrelation, euclidean, nearest, thumbnail
from lldm_aug.evaluation.realism.patches import SHIFT, Patch, patch_slices
from lldm_aug.evaluation.realism.run import RealismMeasured
from lldm_aug.evaluation.tables.memorization import RULE, Space, judge_space
from lldm_aug.report.table import Cell, Table

COLUMNS = ("verdict", "judged", "copies", "nearer_than_any", "smallest_share", "p")
Distances = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray]


def copies(measured: RealismMeasured, cache: FeatureCache) -> Table:
    """Table ``copies``: the verdict on each pool, by the distance of features and of images."""
    real = [patch for patches in measured.real.values() for patch in patches]
    rows: list[tuple[Cell, ...]] = []
    for name, by_patient in measured.painted.items():
        painted = [patch for patches in by_patient.values() for patch in patches]
        if not painted:
            continue
        for space, codes, distances in (
            ("features", [_features(patches, cache) for patches in (painted, real)], euclidean),
            ("image", [_images(patches) for patches in (painted, real)], decorrelation),
        ):
            found = Space(
                space,
                _to_others(painted, codes[0], real, codes[1], distances),
                _to_others(real, codes[1], real, codes[1], distances),
            )
            verdict = judge_space(found, [str(i) for i in range(len(painted))], ())
            rows.append((name, space, *(getattr(verdict, column) for column in COLUMNS)))
    return Table(
        name="copies",
        title="Are painted lesions copies of real ones?",
        columns=("pool", "space", *COLUMNS),
        rows=tuple(rows),
        note="Distance of each lesion-centred patch to the nearest real lesion of another patient, for painted lesions "
        f"and, in place of held-out cases, for real ones. {RULE} Whole images are not compared: outside of the region "
        "they are the host's by design. Copy-paste copies by design, too.",
    )


def _to_others(
    patches: Sequence[Patch],
    codes: Sequence[np.ndarray],
    real: Sequence[Patch],
    real_codes: Sequence[np.ndarray],
    distances: Distances,
) -> Neighbours:
    """The nearest real lesion of another patient of each patch."""
    same = np.array([[patch.patient == other.patient for other in real] for patch in patches])
    return nearest(np.where(same, np.inf, distances(codes, real_codes)))


def _features(patches: Sequence[Patch], cache: FeatureCache) -> list[np.ndarray]:
    return [pooled(cache.features(patch_slices([patch]))) for patch in patches]


def _images(patches: Sequence[Patch]) -> list[np.ndarray]:
    return [thumbnail(patch.image[:, *(slice(SHIFT, -SHIFT),) * 3]) for patch in patches]
