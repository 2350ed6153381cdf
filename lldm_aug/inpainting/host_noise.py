"""The noise of a host in what was painted into it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from lldm_aug.anatomy.measures import box_around
from lldm_aug.models.texture import FEWEST_VOXELS, high_pass_within, measure_residual, noise_level
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

RING_MM = 12.0
"""Width of the ring around a region in which the noise of its host is measured."""
LEAST_TEXTURE = 0.4
"""Share of a structure's texture that is kept, however much stronger than the host's noise it is."""


def match_noise(
    shown: np.ndarray, real: np.ndarray, mask: Volume, hidden: np.ndarray, cell_mm: float, seed: int
) -> None:
    """Gives a painted region noise as strong as the host's: what lacks is added, what is too much is taken off.

    The host's is measured beyond the latent cells that the region touches, which were sampled as a whole, and in the
    structure that both have most of. Anatomy is no noise: no more is added than the generator's image lacks there.

    Args:
        shown: (C, X, Y, Z) the generator's image; changed in place, in and around the region.
        real: (C, X, Y, Z) the host, scaled.
        mask: that was painted for.
        hidden: (X, Y, Z) the region.
        cell_mm: longest side of a latent cell.
        seed: of the noise.
    """
    spacing_mm = mask.grid.spacing_mm
    reach = np.ceil(np.divide(cell_mm + RING_MM, spacing_mm)).astype(int).tolist()
    box = box_around(hidden, reach)
    real, near, label, inner = real[:, *box], shown[:, *box], mask.data[box], hidden[box]
    distance_mm = distance_transform_edt(~inner, sampling=spacing_mm)
    ring = (distance_mm > cell_mm) & (distance_mm <= cell_mm + RING_MM) & (real != near).any(axis=0)
    if not ring.any():
        return
    tissue = _common_tissue(label, ring, inner)
    around, within = (part & tissue if (part & tissue).sum() >= FEWEST_VOXELS else part for part in (ring, inner))
    for wanted, channel in zip(real, near, strict=True):
        _calm(channel, noise_level(channel, within) ** 2 - noise_level(wanted, around) ** 2, label, inner)
    residual_noise = measure_residual(real, near, around, within)
    near += residual_noise.draw(numpy_rng(seed, "residual noise"), np.zeros_like(label))


def _common_tissue(label: np.ndarray, ring: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(X, Y, Z) booleans of the structure that a region has most of, of those of which the ring has enough."""
    counts = {int(value): int((inner & (label == value)).sum()) for value in np.unique(label[inner]) if value > 0}
    known = {value: n for value, n in counts.items() if (ring & (label == value)).sum() >= FEWEST_VOXELS}
    tissue: np.ndarray = label == max(known, key=known.__getitem__, default=0)
    return tissue


def _calm(channel: np.ndarray, excess: float, label: np.ndarray, region: np.ndarray) -> None:
    """Takes a variance off the fine texture of each structure in a region of a (X, Y, Z) image, in place.

    Borders between structures stay as sharp as they are.
    """
    for value in np.unique(label[region]) if excess > 0 else ():
        part = region & (label == value)
        if part.sum() >= FEWEST_VOXELS:
            kept = np.sqrt(max(LEAST_TEXTURE**2, 1 - excess / max(noise_level(channel, part) ** 2, 1e-12)))
            channel[part] -= (1 - kept) * high_pass_within(channel, part)
