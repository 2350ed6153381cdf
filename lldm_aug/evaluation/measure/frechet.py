"""Fréchet distance of features (FID, arXiv 1706.08500), also where there are fewer slices than features.

The covariance of n slices has a rank of at most n - 1. With fewer slices than features D the plain distance is then
mostly a matter of n. It is still given, for papers print it, but the figure to read is the mean of the distances in
`PROJECTIONS` random subspaces of k << n dimensions, in which covariances have full rank, times D / k. The subspaces
depend on nothing but D and k, so that all pools are looked at in the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from lldm_aug.seeds import numpy_rng

PROJECTIONS = 8
MOST_DIMENSIONS = 64
SLICES_A_DIMENSION = 4
"""A covariance is trusted with as many dimensions as there are slices, divided by this."""


def fid(x: np.ndarray, y: np.ndarray) -> float:
    """Plain Fréchet distance of two sets of features (N, D) and (M, D); NaN where a set has fewer than two.

    The trace of the root of the product of the covariances is the sum of the singular values of X Y^T, of centred
    features: exact and stable whatever their rank.
    """
    if min(len(x), len(y)) < 2:
        return float("nan")
    x, y = x.astype(np.float64), y.astype(np.float64)
    difference = x.mean(axis=0) - y.mean(axis=0)
    x, y = _centred(x), _centred(y)
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(difference @ difference + (x**2).sum() + (y**2).sum() - 2 * shared)


def dimensions_for(slices: int, features: int) -> int:
    """Dimensions k of the subspaces, for the smaller set's number of slices."""
    return max(1, min(MOST_DIMENSIONS, features, slices // SLICES_A_DIMENSION))


@dataclass(frozen=True)
class Moments:
    """Sums over the slices of each case in each subspace: all that the distance of any resample of cases needs.

    Args:
        slices: (n,) number of slices of each case.
        sums: (n, P, k) of projected features.
        products: (n, P, k, k) of their outer products.
        features: D.
    """

    slices: np.ndarray
    sums: np.ndarray
    products: np.ndarray
    features: int

    @classmethod
    def of(cls, cases: Sequence[np.ndarray], dimensions: int) -> Moments:
        """From features (slices, D) of each case."""
        features = cases[0].shape[1]
        subspaces = projections(features, dimensions)
        seen = [np.einsum("nd,pdk->pnk", case.astype(np.float64), subspaces, optimize=True) for case in cases]
        return cls(
            np.array([len(case) for case in cases]),
            np.stack([s.sum(axis=1) for s in seen]),
            np.stack([s.transpose(0, 2, 1) @ s for s in seen]),
            features,
        )

    def gaussian(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (P, k) and covariances (P, k, k) with case i taken ``counts[i]`` times."""
        total = counts @ self.slices
        mean = np.tensordot(counts, self.sums, axes=1) / total
        scatter = np.tensordot(counts, self.products, axes=1) - total * mean[:, :, None] * mean[:, None, :]
        return mean, scatter / max(total - 1, 1)


def projected_fid(x: Moments, y: Moments, x_counts: np.ndarray, y_counts: np.ndarray) -> float:
    """Mean Fréchet distance over the subspaces, times D / k; cases are taken as often as the counts say."""
    (mean, covariance), (other_mean, other_covariance) = x.gaussian(x_counts), y.gaussian(y_counts)
    root = _root(covariance)
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0)).sum(axis=1)
    traces = np.trace(covariance, axis1=1, axis2=2) + np.trace(other_covariance, axis1=1, axis2=2)
    distances = ((mean - other_mean) ** 2).sum(axis=1) + traces - 2 * shared
    return float(distances.mean() * x.features / mean.shape[1])


@cache
def projections(features: int, dimensions: int) -> np.ndarray:
    """(P, D, k) orthonormal bases of random subspaces, the same ones for ever."""
    rng = numpy_rng("fid subspaces", features, dimensions)
    return np.stack([np.linalg.qr(rng.normal(size=(features, dimensions)))[0] for _ in range(PROJECTIONS)])


def _centred(x: np.ndarray) -> np.ndarray:
    """Rows whose scatter is the covariance: deviations from the mean over the root of N - 1, at most D of them."""
    deviations = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(deviations, mode="r")) if len(x) > x.shape[1] else deviations


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root of (P, k, k) positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    return root
