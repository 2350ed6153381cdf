"""Grain: the noise and fine unevenness that an autoencoder smooths away, measured on its residuals and put back.

A decoder trained with L1 gives the median of all images that fit a latent, which is smoother than any of them. What is
missing is close to noise, correlated between neighbours where the data were resampled. Its strength is taken from the
high-pass part of the residuals, since slow errors of the reconstruction are no noise.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter

from lldm_aug.record import Record

FEWEST_VOXELS = 64
"""A smaller region takes the strength of all structures together."""
LARGEST_CORRELATION = 0.6
SLOW_VOXELS = 2.0
REACH = 8
NORMAL_MAD = 0.6744898
"""Median absolute deviation of a standard normal."""
Correlation = tuple[float, float, float]


class Grain(Record):
    """The grain of one case, in scaled intensities.

    Args:
        deviation: standard deviation of each channel's grain in the background and in each structure: C x (1 + S).
        correlation: of neighbouring voxels along each axis.
    """

    deviation: tuple[tuple[float, ...], ...]
    correlation: Correlation

    def draw(self, rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
        """Grain (C, X, Y, Z) float32 for an (X, Y, Z) label."""
        white = rng.standard_normal((len(self.deviation), *label.shape), dtype=np.float32)
        regions = np.where(label < len(self.deviation[0]), label, 0)
        strength = np.asarray(self.deviation, dtype=np.float32)[:, regions]
        return np.asarray(_correlated(white, self.correlation) * strength, dtype=np.float32)


def high_pass(image: np.ndarray) -> np.ndarray:
    """An (X, Y, Z) image minus its Gaussian smoothing over one voxel."""
    fine: np.ndarray = image - gaussian_filter(image, 1.0, truncate=3.0)
    return fine


def measure_grain(
    image: np.ndarray, reconstruction: np.ndarray, label: np.ndarray, foreground: np.ndarray, structures: int
) -> Grain:
    """The grain that a reconstruction lacks.

    Args:
        image: (C, X, Y, Z) scaled.
        reconstruction: likewise.
        label: (X, Y, Z) integers.
        foreground: (X, Y, Z) booleans, False where the data are exactly zero.
        structures: number S of structures.
    """
    inside = (label > 0) & (label <= structures)
    inside = inside if inside.sum() >= FEWEST_VOXELS else foreground
    residual = image - reconstruction
    correlation = _neighbour_correlation(residual, inside)
    gain = _high_pass_gain(correlation)
    deviation = []
    for channel in residual:
        fine = np.abs(high_pass(channel))
        pooled = _robust_deviation(fine[inside])
        regions = [(label == 0) & foreground, *(label == value for value in range(1, structures + 1))]
        found = [_robust_deviation(fine[r]) if r.sum() >= FEWEST_VOXELS else pooled for r in regions]
        deviation.append(tuple(round(d / gain, 5) for d in found))
    return Grain(deviation=tuple(deviation), correlation=correlation)


def _robust_deviation(absolute: np.ndarray) -> float:
    """Standard deviation from the median of absolute values: edges that were missed do not count."""
    return float(np.median(absolute)) / NORMAL_MAD if absolute.size else 0.0


def _neighbour_correlation(residual: np.ndarray, inside: np.ndarray) -> Correlation:
    quick = np.stack([channel - gaussian_filter(channel, SLOW_VOXELS) for channel in residual])
    found = []
    for axis in range(3):
        length = inside.shape[axis]
        first, second = (np.arange(length - 1) + shift for shift in (0, 1))
        both = inside.take(first, axis) & inside.take(second, axis)
        a, b = (quick.take(index, axis + 1)[:, both] for index in (first, second))
        power = float((a**2).mean() + (b**2).mean()) / 2 if a.size else 0.0
        value = float((a * b).mean()) / power if power > 0 else 0.0
        found.append(round(float(np.clip(value, -LARGEST_CORRELATION, LARGEST_CORRELATION)), 4))
    return found[0], found[1], found[2]


def _correlated(white: np.ndarray, correlation: Correlation) -> np.ndarray:
    """White noise (C, X, Y, Z) of unit deviation, given this correlation of neighbours by a filter of three taps."""
    for axis, value in enumerate(correlation, start=1):
        # The filter (a, 1, a) correlates neighbours by 2a / (1 + 2a^2); this is the smaller root.
        a = 0.0 if value == 0 else (1 - np.sqrt(1 - 2 * value**2)) / (2 * value)
        white = convolve1d(white, np.array([a, 1, a]) / np.sqrt(1 + 2 * a**2), axis=axis, mode="wrap")
    return white


@cache
def _high_pass_gain(correlation: Correlation) -> float:
    """Standard deviation of the high-pass part of unit grain."""
    impulse = np.zeros((1, *(2 * REACH + 1,) * 3))
    impulse[0, REACH, REACH, REACH] = 1
    return float(np.sqrt((high_pass(_correlated(impulse, correlation)[0]) ** 2).sum()))
