"""Whether a generator copies: distance of its images to the nearest training case, against that of held-out real ones.

Distances are taken in two spaces: between features pooled over a volume, and between thumbnails (1 - correlation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THUMBNAIL = 24
"""Largest side of a thumbnail, in voxels."""


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
