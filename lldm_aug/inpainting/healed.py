"""A host without the lesions that an edit removed: their place shows the structure that they lay in."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, gaussian_filter
from scipy.signal import fftconvolve

from lldm_aug.anatomy.measures import box_around
from lldm_aug.models.texture import FEWEST_VOXELS, measure_residual

SLOW_MM = 8.0
"""Standard deviation of the Gaussian that parts a structure into slow changes of signal and texture."""
FAR = 8.0
"""The Gaussian's kernel reaches this many standard deviations, so that it spans large lesions."""
NEAR_MM = 8.0
"""How far around a place outside of all structures its surroundings reach."""
NEARLY_BEST = 0.98
"""Places for the texture are drawn among those that cover this share of what the best one does."""
LEAST_COVERED = 0.8
"""A place of which no part of the structure covers this share gets noise: a mosaic of both would be seen."""


def healed(
    image: np.ndarray,
    gone: np.ndarray,
    after: np.ndarray,
    lesion: np.ndarray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """An image in which removed lesions are replaced by the structure that the mask shows there.

    Slow changes of signal continue from around the place. The texture is that of the same structure elsewhere in the
    image where a part of it has the shape of the place, else noise as strong.

    Args:
        image: (C, X, Y, Z).
        gone: (X, Y, Z) voxels that are no lesion any more.
        after: (X, Y, Z) labels without them.
        lesion: (X, Y, Z) voxels that show a lesion, in the host or in the edited mask.
        spacing_mm: voxel size.
        rng: draws the place of the texture.

    Returns:
        (C, X, Y, Z), unlike the image in ``gone`` and in the voxels next to it, which show a part of the lesion.
    """
    out = image.copy()
    beside = _beside(spacing_mm)
    for value in np.unique(after[gone]):
        structure = after == value
        hole = binary_dilation(gone & structure, beside) & structure
        pure = binary_erosion(structure & ~lesion, beside, border_value=1)
        source = pure if pure.sum() >= FEWEST_VOXELS else structure & ~lesion
        if value == 0:
            source = source & _near(hole, spacing_mm)
        if source.any():
            _fill(out, hole, source, spacing_mm, rng)
    return out


def _beside(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """A voxel and its neighbours along the axes of the finest spacing: thick slices do not blur into each other."""
    reach = [2 * s < 3 * min(spacing_mm) for s in spacing_mm]
    shape = tuple(slice(0 if near else 1, 3 if near else 2) for near in reach)
    kernel = np.zeros((3, 3, 3), dtype=bool)
    kernel[shape] = True
    return kernel


def _near(hole: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """(X, Y, Z) voxels around a hole: what has no label is of many kinds, of which those next to it continue."""
    near = np.zeros_like(hole)
    box = box_around(hole, [int(np.ceil(NEAR_MM / s)) for s in spacing_mm])
    near[box] = distance_transform_edt(~hole[box], sampling=spacing_mm) <= NEAR_MM
    return near


def _fill(
    image: np.ndarray,
    hole: np.ndarray,
    source: np.ndarray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    """Fills a hole from a structure's other voxels, those around it if there are some."""
    box = box_around(hole, [int(np.ceil(FAR * SLOW_MM / s)) for s in spacing_mm])
    if not source[box].any():
        box = box_around(hole | source, [0, 0, 0])
    inside, clean = hole[box], source[box]
    part = image[:, *box]
    slow = np.stack([_slow(channel, clean, spacing_mm) for channel in part])
    noise = measure_residual(part, slow, clean).draw(rng, np.zeros_like(inside, dtype=np.int16))
    part[:, inside] = slow[:, inside] + _patch(part - slow, noise, inside, clean, rng)


def _slow(channel: np.ndarray, source: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Local mean of a structure, everywhere."""
    sigma = [SLOW_MM / s for s in spacing_mm]
    weight = gaussian_filter(source.astype(np.float64), sigma, truncate=FAR)
    total = gaussian_filter(np.where(source, channel, 0).astype(np.float64), sigma, truncate=FAR)
    slow: np.ndarray = np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), channel[source].mean())
    return slow


def _patch(
    fine: np.ndarray, noise: np.ndarray, hole: np.ndarray, source: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(C, N) texture of a hole's voxels: that of a part of the structure of the same shape, or noise.

    Args:
        fine: (C, X, Y, Z) texture of the structure.
        noise: (C, X, Y, Z) as strong.
        hole: (X, Y, Z), some of it True.
        source: (X, Y, Z) voxels of the structure, some of them True.
        rng: draws the part.
    """
    voxels, tight = np.argwhere(hole), box_around(hole, [0, 0, 0])
    covered = fftconvolve(source.astype(np.float32), hole[tight][::-1, ::-1, ::-1].astype(np.float32), mode="full")
    if covered.max() < LEAST_COVERED * len(voxels):
        return noise[:, *voxels.T]
    places = np.argwhere(covered >= NEARLY_BEST * covered.max())
    start = places[int(rng.integers(len(places)))] - (np.array(hole[tight].shape) - 1)
    moved = voxels + start - [side.start for side in tight]
    fits = np.all((moved >= 0) & (moved < source.shape), axis=1)
    fits[fits] = source[tuple(moved[fits].T)]
    found = noise[:, *voxels.T]
    found[:, fits] = fine[:, *moved[fits].T]
    return found
