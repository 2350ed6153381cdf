"""2.5D: the slices of a volume, in three planes, that feature networks look at; and the volume itself for 3D ones."""

from __future__ import annotations

import numpy as np

from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.pictures.planes import PLANES, Plane

SLICE_STEP = 4
"""Every fourth slice: neighbours tell hardly more, and a volume costs a quarter of a second."""

VOLUME = "volume"


def slices_of(case: ConformedCase) -> dict[str, np.ndarray]:
    """Slices through the labelled structures: (N, height, width) float32 in [0, 1] by plane (and channel, if several).

    Scaled intensities -1 and 1 become 0 and 1, the same for every case.
    """
    grey = np.clip((case.scaled + 1) / 2, 0, 1).astype(np.float32)
    found = {}
    for number, channel in enumerate(grey):
        for plane in PLANES:
            name = plane.name if len(grey) == 1 else f"{plane.name}, channel {number}"
            found[name] = np.stack([plane.slice(channel, i) for i in slice_positions(case.label, plane)])
    return found


def volumes_of(case: ConformedCase) -> dict[str, np.ndarray]:
    """The whole volume: (1, X, Y, Z) float32 in [0, 1] as in `slices_of`, called volume (and channel, if several)."""
    grey = np.clip((case.scaled + 1) / 2, 0, 1).astype(np.float32)
    return {VOLUME if len(grey) == 1 else f"{VOLUME}, channel {n}": channel[None] for n, channel in enumerate(grey)}


def slice_positions(label: np.ndarray, plane: Plane) -> list[int]:
    """Every fourth slice with labelled voxels, the middle one among them; of all slices where nothing is labelled."""
    axes = (plane.across, plane.down)
    positions = np.flatnonzero((label > 0).any(axis=axes))
    if not positions.size:
        positions = np.arange(label.shape[plane.normal])
    offset = (len(positions) // 2) % SLICE_STEP
    return [int(i) for i in positions[offset::SLICE_STEP]]
