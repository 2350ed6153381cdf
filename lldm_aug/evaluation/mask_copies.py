"""Whether masks copy training masks: their distance to the nearest one, against that of held-out real masks.

The distance of two masks is 1 - Dice, mean over the structures that either has, of the shares of cells of about 10 mm
that the structures fill, after both livers (or, without liver, both masks) were moved to one centre of gravity. It is
0 for a copy, wherever it lies, small for a copy that was warped or coarsened a little, and 1 for nothing in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.limits import LIVER
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.distance import occupied

CELL_MM = 10.0
CELLS_A_SIDE = 40
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class CopyReport:
    """Distances to the nearest training mask.

    Args:
        candidates: (N,) of the masks in question.
        heldout: (M,) of real masks that were not trained on.
    """

    candidates: np.ndarray
    heldout: np.ndarray

    @property
    def ratio(self) -> float:
        """Mean distance of the candidates over that of held-out masks."""
        return float(self.candidates.mean() / self.heldout.mean())

    @property
    def too_close(self) -> int:
        """Candidates closer to a training mask than any held-out one is."""
        return int(np.count_nonzero(self.candidates < self.heldout.min()))

    @property
    def novel(self) -> bool:
        """The verdict: candidates are no closer to training masks, on average, than held-out masks are."""
        return self.ratio >= 1


def nearest_neighbours(
    candidates: Sequence[np.ndarray],
    heldout: Sequence[np.ndarray],
    training: Sequence[np.ndarray],
    spacing_mm: Spacing,
    schema: LabelSchema,
) -> CopyReport:
    """Compares masks with the training masks; all are (X, Y, Z) integers on grids of one spacing."""
    return CopyReport(
        copy_distances(candidates, training, spacing_mm, schema), copy_distances(heldout, training, spacing_mm, schema)
    )


def copy_distances(
    candidates: Sequence[np.ndarray], training: Sequence[np.ndarray], spacing_mm: Spacing, schema: LabelSchema
) -> np.ndarray:
    """(N,) distance of each mask to the nearest training mask; see the module."""
    theirs = [mask_cells(mask, spacing_mm, schema) for mask in training]
    ours = (mask_cells(mask, spacing_mm, schema) for mask in candidates)
    return np.array([min(cell_distance(one, other) for other in theirs) for one in ours])


def mask_cells(mask: np.ndarray, spacing_mm: Spacing, schema: LabelSchema) -> np.ndarray:
    """(S, cells) volume in voxels of each structure in each cell around the centre of gravity."""
    structures = occupied(mask, schema)
    centred = structures[schema.value(LIVER) - 1] if LIVER in schema.names else structures.any(axis=0)
    anchor = np.argwhere(centred if centred.any() else np.ones_like(centred)).mean(axis=0)
    cells = np.zeros((len(structures), CELLS_A_SIDE**3), dtype=np.float32)
    for filled, structure in zip(cells, structures, strict=True):
        place = np.rint((np.argwhere(structure) - anchor) * spacing_mm / CELL_MM).astype(int) + CELLS_A_SIDE // 2
        number = np.ravel_multi_index(tuple(place.T), (CELLS_A_SIDE,) * 3, mode="clip")
        filled += np.bincount(number, minlength=filled.size)
    return cells


def cell_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Distance of two masks from their `mask_cells`; see the module."""
    total = one.sum(axis=1) + other.sum(axis=1)
    shared = np.minimum(one, other).sum(axis=1)
    return float(1 - np.mean(2 * shared[total > 0] / total[total > 0])) if (total > 0).any() else 0.0
