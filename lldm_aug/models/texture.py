"""The texture residual (residual noise): fine texture that networks smooth away, measured in training cases and added
again.

A decoder that was trained with an L1 loss shows the median of all images that fit its latent, and that median is
smoother than any of them. What it lacks resembles noise, which is correlated between neighbouring voxels where the data
were resampled. The strength of this residual is measured by high-pass filtering: it is what the fine part of a
reconstruction, or of a sample for the same mask, lacks of the fine part of the image. Slowly varying errors are no
texture, and missing edges are none either. So the strength is estimated from the median of absolute deviations, on
which the few extreme voxels along edges have little influence.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion, convolve1d, find_objects, gaussian_filter

from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

FEWEST_VOXELS = 64
"""A region with fewer voxels away from its border takes the strength of all structures together."""
FEWEST_POOLED = 1000
"""If all structures together have fewer voxels, the strength is measured in the whole image."""
NORMAL = 1.4826
"""Ratio of the standard deviation to the median absolute deviation of normally distributed values."""
LARGEST_CORRELATION = 0.6
SLOW_VOXELS = 2.0
SMOOTHING_VOXELS = 1.0
KERNEL_VOXELS = 4
"""Half width of the smoothing's kernel."""
EDGE_VOXELS = 2
Correlation = tuple[float, float, float]


class ResidualNoise(Record):
    """The texture residual of one case, in scaled intensities.

    Args:
        deviation: standard deviation of each channel's residual in the background and in each structure: C x (1 + S).
        correlation: of neighbouring voxels along each axis.
    """

    deviation: tuple[tuple[float, ...], ...]
    correlation: Correlation

    def draw(self, rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
        """Residual noise (C, X, Y, Z) float32 for an (X, Y, Z) label."""
        white = rng.standard_normal((len(self.deviation), *label.shape), dtype=np.float32)
        regions = np.where(label < len(self.deviation[0]), label, 0)
        strength = np.asarray(self.deviation, dtype=np.float32)[:, regions]
        return np.asarray(_correlated(white, self.correlation) * strength, dtype=np.float32)


def high_pass_within(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(N,) high-pass values of the voxels of a region: the image minus its Gaussian smoothing over one voxel.

    Only the region takes part in the smoothing (normalised convolution). Otherwise a dark neighbour two voxels away
    would lend it an edge that outweighs its texture.

    Args:
        image: (X, Y, Z).
        region: (X, Y, Z) booleans, some of them True.
    """
    (tight,) = find_objects(region.astype(np.uint8))
    box = tuple(slice(max(0, s.start - KERNEL_VOXELS), s.stop + KERNEL_VOXELS) for s in tight)
    part, inside = image[box], region[box]
    weight = gaussian_filter(inside.astype(np.float32), SMOOTHING_VOXELS)
    smooth = gaussian_filter(np.where(inside, part, 0).astype(np.float32), SMOOTHING_VOXELS)
    fine: np.ndarray = part[inside] - smooth[inside] / weight[inside]
    return fine


def noise_level(image: np.ndarray, region: np.ndarray) -> float:
    """Robust standard deviation of the high-pass values of an image (X, Y, Z) in a region that is not empty."""
    return float(np.sqrt(_variance(high_pass_within(image, region))))


def measure_residual_noise(
    image: np.ndarray,
    shown: np.ndarray,
    label: np.ndarray,
    foreground: np.ndarray,
    structures: int,
    correlation: Correlation | None = None,
) -> ResidualNoise:
    """Measures the texture that a reconstruction, or a sample for the same mask, lacks.

    Args:
        image: (C, X, Y, Z) scaled.
        shown: likewise, the reconstruction or the sample.
        label: (X, Y, Z) integers.
        foreground: (X, Y, Z) booleans, False where the data are exactly zero.
        structures: number S of structures.
        correlation: of the residual between neighbours; None measures it in the difference of image and reconstruction.
            (The difference from a sample shows other anatomy, not noise, so a sample needs it to be given.)
    """
    regions = [(label == 0) & foreground, *(label == value for value in range(1, structures + 1))]
    cores = [binary_erosion(region, iterations=EDGE_VOXELS) for region in regions]  # a blurred edge is no texture
    inside = np.logical_or.reduce(cores[1:])
    inside = inside if inside.sum() >= FEWEST_VOXELS else foreground
    correlation = _neighbour_correlation(image - shown, inside) if correlation is None else correlation
    white = numpy_rng("unit grain").standard_normal((1, *label.shape), dtype=np.float32)
    unit = _correlated(white, correlation)[0]
    deviation = [_lacking(*pair, unit, cores) for pair in zip(image, shown, strict=True)]
    return ResidualNoise(deviation=tuple(deviation), correlation=correlation)


def measure_residual(
    image: np.ndarray, shown: np.ndarray, region: np.ndarray, where: np.ndarray | None = None
) -> ResidualNoise:
    """Measures the texture that a reconstruction lacks, as one value for all labels.

    Args:
        image: (C, X, Y, Z) scaled.
        shown: likewise, the reconstruction.
        region: (X, Y, Z) booleans, some of them True: where the image's residual noise is measured.
        where: likewise, where more is shown than in the region: what its texture has beyond the region's is not added.
    """
    where = region if where is None else where
    correlation = _neighbour_correlation(image - shown, region)
    white = numpy_rng("unit grain").standard_normal((1, *region.shape), dtype=np.float32)
    gain = _variance(high_pass_within(_correlated(white, correlation)[0], region))
    lacking = []
    for real, smooth in zip(image, shown, strict=True):
        there = max(_variance(high_pass_within(smooth, part)) for part in (region, where))
        lacking.append(max(0.0, _variance(high_pass_within(real, region)) - there) / gain)
    return ResidualNoise(deviation=tuple((round(float(np.sqrt(v)), 5),) for v in lacking), correlation=correlation)


def _lacking(image: np.ndarray, shown: np.ndarray, unit: np.ndarray, regions: list[np.ndarray]) -> tuple[float, ...]:
    """Deviation of the residual noise in each region that gives what is shown the image's high-pass variance (see
    `_variance`).

    That is less than the residual's: a decoder makes up texture of its own, which does not have to be replaced. In the
    background, full of organs without a label, it is at most as strong as in the structures: more would be anatomy.
    Thin structures take the strength of all structures together, or, where these are small, of the whole image.
    """
    found = {}
    for number, region in enumerate(regions):
        if (voxels := int(region.sum())) >= FEWEST_VOXELS:
            real, smooth, gain = (_variance(high_pass_within(x, region)) for x in (image, shown, unit))
            found[number] = max(0.0, (real - smooth) / gain), voxels
    structures = [entry for number, entry in found.items() if number > 0]
    if sum(voxels for _, voxels in structures) < FEWEST_POOLED:
        structures = [*found.values()]
    total = sum(voxels for _, voxels in structures)
    pooled = sum(variance * voxels for variance, voxels in structures) / max(total, 1)
    variances = [found.get(number, (pooled, 0))[0] for number in range(len(regions))]
    variances[0] = min(variances[0], pooled)
    return tuple(round(float(np.sqrt(v)), 5) for v in variances)


def _variance(values: np.ndarray) -> float:
    """Variance of normal values with the same median deviation."""
    return float((NORMAL * np.median(np.abs(values - np.median(values)))) ** 2)


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
