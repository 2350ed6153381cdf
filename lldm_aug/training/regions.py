"""Regions that a network learns to paint anew: all of an image, lesions and what is around them, or any other part."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy.ndimage import label

from lldm_aug.anatomy.measures import grown

Spacing = tuple[float, float, float]

EVERYTHING, SOME_LESIONS = 0.3, 0.75
"""Up to the first share of regions are the whole image, up to the second lesions, the rest any part."""
MOST_MARGIN_MM = 8.0
"""Around lesions; at least none."""
MOST_PARTS = 3
"""Blobs or boxes that a region is made of."""
SMALLEST_SHARE = 0.05
"""Of the image's extent, that a part spans; the largest part spans the whole image."""
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


def draw_region(
    rng: np.random.Generator, mask: np.ndarray, lesions: Collection[int], spacing_mm: Spacing
) -> np.ndarray:
    """Booleans (X, Y, Z), True where an image is to be painted.

    Args:
        rng: of this region.
        mask: (X, Y, Z) integers.
        lesions: their values of what is a lesion; without one in the mask, the region is any part instead.
        spacing_mm: voxel size.
    """
    chance = rng.random()
    if chance < EVERYTHING:
        return np.ones(mask.shape, dtype=bool)
    found, count = label(np.isin(mask, list(lesions)), ANY_NEIGHBOUR)
    if chance < SOME_LESIONS and count:
        chosen = rng.permutation(count)[: int(rng.integers(1, count + 1))] + 1
        return grown(np.isin(found, chosen), spacing_mm, float(rng.uniform(0, MOST_MARGIN_MM)))
    return _parts(rng, mask, spacing_mm)


def _parts(rng: np.random.Generator, mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Some blobs or boxes of one size or another, around a structure as often as anywhere."""
    extent_mm = np.multiply(mask.shape, spacing_mm)
    places = [(np.arange(n) + 0.5) * s for n, s in zip(mask.shape, spacing_mm, strict=True)]
    structures = np.argwhere(mask > 0)
    near = len(structures) > 0 and rng.random() < 0.5
    middle = (structures[int(rng.integers(len(structures)))] + 0.5) * spacing_mm if near else rng.random(3) * extent_mm
    region = np.zeros(mask.shape, dtype=bool)
    region[tuple((middle / spacing_mm).astype(int))] = True  # never empty, however small the parts
    for _ in range(int(rng.integers(1, MOST_PARTS + 1))):
        share = np.exp(rng.uniform(np.log(SMALLEST_SHARE), 0))
        size_mm = np.maximum(spacing_mm, share * rng.uniform(0.5, 1, size=3) * extent_mm)
        x, y, z = (2 * np.abs(p - m) / s for p, m, s in zip(places, middle, size_mm, strict=True))
        x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
        box = rng.random() < 0.5
        region |= np.maximum(np.maximum(x, y), z) <= 1 if box else x**2 + y**2 + z**2 <= 1
        middle = np.clip(middle + rng.normal(size=3) * size_mm / 2, 0, extent_mm)
    return region
