"""Kernel inception distance: squared maximum mean discrepancy under a cubic kernel, unbiased (arXiv 1801.01401).

Slices of one case resemble each other, so even two sets of real cases lie apart by an amount that falls with the number
of cases: the real-vs-real distance that every KID has to be read with. Its spread is that of resamples of whole cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """k(x, y) = (x.y / d + 1)^3 of all pairs of rows (N, d) and (M, d): (N, M) float64."""
    product = x.astype(np.float64) @ y.astype(np.float64).T
    return np.asarray((product / x.shape[1] + 1) ** 3)


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel over the slices of each pair of cases: all that KID of any subset of cases needs.

    Args:
        xx: (n, n) within the first set, a slice with itself left out.
        yy: (m, m) within the second.
        xy: (n, m) between them.
        x_slices: (n,) number of slices of each case.
        y_slices: (m,) likewise.
    """

    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    x_slices: np.ndarray
    y_slices: np.ndarray

    @classmethod
    def of(cls, x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> KernelSums:
        """From features (slices, d) of each case of two sets."""
        x_slices, y_slices = (np.array([len(case) for case in cases]) for cases in (x, y))
        all_x, all_y = np.concatenate(x), np.concatenate(y)
        return cls(
            _blocks(_without_self(polynomial_kernel(all_x, all_x)), x_slices, x_slices),
            _blocks(_without_self(polynomial_kernel(all_y, all_y)), y_slices, y_slices),
            _blocks(polynomial_kernel(all_x, all_y), x_slices, y_slices),
            x_slices,
            y_slices,
        )

    def resampled(self, x_counts: np.ndarray, y_counts: np.ndarray) -> float:
        """Unbiased KID with each case taken as often as its count says; NaN where a set has fewer than two slices.

        Copies of a case are not compared with each other: they would pass for slices that are alike.
        """
        between = x_counts @ self.xy @ y_counts / ((x_counts @ self.x_slices) * (y_counts @ self.y_slices))
        within = _within(self.xx, self.x_slices, x_counts) + _within(self.yy, self.y_slices, y_counts)
        return float(within - 2 * between)


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased KID of two sets of features (N, d) and (M, d)."""
    once = np.ones(1, dtype=int)
    return KernelSums.of([x], [y]).resampled(once, once)


def _without_self(kernel: np.ndarray) -> np.ndarray:
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _blocks(kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums over blocks of a matrix; every case has at least one slice."""
    starts = [np.concatenate([[0], np.cumsum(sizes)[:-1]]) for sizes in (rows, columns)]
    return np.asarray(np.add.reduceat(np.add.reduceat(kernel, starts[0], axis=0), starts[1], axis=1))


def _within(sums: np.ndarray, slices: np.ndarray, counts: np.ndarray) -> float:
    """Mean of the kernel over pairs of slices of one set; NaN without a pair."""
    times, pairs = np.outer(counts, counts), np.outer(slices, slices)
    np.fill_diagonal(times, counts)
    np.fill_diagonal(pairs, slices * (slices - 1))
    number = (times * pairs).sum()
    return float((times * sums).sum() / number) if number else float("nan")
