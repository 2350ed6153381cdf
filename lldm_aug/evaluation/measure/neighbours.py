"""What a copy shares with its original: distances of images and of masks, and the nearest training case.

Images are compared by features averaged over slices, and by small images (1 - correlation). The distance of two masks
is 1 - Dice, mean over the structures that either has, of the shares of cells of about 10 mm that the structures fill,
after both livers (or, without liver, both masks) were moved to one centre of gravity. It is 0 for a copy, wherever it
lies, small for a copy that was warped or coarsened a little, and 1 for nothing in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.limits import LIVER
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.distance import occupied

THUMBNAIL = 24
"""Largest side of a thumbnail, in voxels."""
CELL_MM = 10.0
CELLS_A_SIDE = 40
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Neighbours:
    """Nearest training case of each query.

    Args:
        distances: (N,) to it.
        nearest: (N,) its position among the training cases.
    """

    distances: np.ndarray
    nearest: np.ndarray


def nearest(distances: np.ndarray) -> Neighbours:
    """From (N, M) distances of queries to training cases."""
    return Neighbours(distances.min(axis=1), distances.argmin(axis=1))


def euclidean(queries: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> np.ndarray:
    """(N, M) distances of vectors."""
    q, t = np.stack(queries).astype(np.float64), np.stack(training).astype(np.float64)
    return np.asarray(np.stack([np.linalg.norm(t - row, axis=1) for row in q]))


def decorrelation(queries: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> np.ndarray:
    """(N, M) distances 1 - r of thumbnails, not below 0 for rounding."""
    correlation = np.stack(queries).astype(np.float64) @ np.stack(training).astype(np.float64).T
    return np.asarray(np.maximum(1 - correlation, 0))


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A (C, X, Y, Z) image averaged over blocks to at most 24 voxels a side; zero mean and unit length, so that a dot
    product of two is their correlation."""
    small = image.astype(np.float64)
    for axis in (1, 2, 3):
        block = -(-small.shape[axis] // THUMBNAIL)
        starts = np.arange(0, small.shape[axis], block)
        sizes = np.diff([*starts, small.shape[axis]])
        small = np.add.reduceat(small, starts, axis=axis)
        small /= sizes.reshape([-1 if a == axis else 1 for a in range(4)])
    flat = small.ravel() - small.mean()
    length = float(np.linalg.norm(flat))
    return np.asarray(flat / length if length > 0 else flat, dtype=np.float32)


def mask_neighbours(
    masks: Sequence[np.ndarray], training: Sequence[np.ndarray], spacing_mm: Spacing, schema: LabelSchema
) -> Neighbours:
    """The nearest training mask of each mask; all are (X, Y, Z) integers on grids of one spacing."""
    ours, theirs = ([mask_cells(mask, spacing_mm, schema) for mask in some] for some in (masks, training))
    return nearest(mask_distances(ours, theirs))


def mask_distances(masks: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> np.ndarray:
    """(N, M) distances of masks to training masks, from the `mask_cells` of each."""
    return np.array([[cell_distance(one, other) for other in training] for one in masks])


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
