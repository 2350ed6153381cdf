"""Label maps under a deformation: every connected component stays one, and thin ones keep their volume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import find_objects, label, map_coordinates

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.geometry import Box
from lldm_aug.masks.components import Component, settle
from lldm_aug.masks.diffeomorphism import Lattice, displacement_in
from lldm_aug.volume import Volume


def warp_labels(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(X, Y, Z) int16: at each voxel the label that lies at its position plus the displacement.

    Each connected component is interpolated linearly by itself (see `settle`).

    Args:
        mask: (X, Y, Z) integer labels.
        displacement: (3, A, B, C) in mm on the lattice, as from `flow`.
        lattice: lies over the mask's grid.
    """
    return settle(list(_warped_components(mask, displacement, lattice)), mask.grid.shape)


def _warped_components(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> Iterator[Component]:
    for value in np.unique(mask.data[mask.data > 0]).tolist():
        numbers, _ = label(mask.data == value, ANY_NEIGHBOUR)
        for number, tight in enumerate(find_objects(numbers), start=1):
            box = _within_reach(tight, mask, displacement)
            moved = displacement_in(displacement, lattice, mask.grid.shape, box)
            moved /= np.asarray(mask.grid.spacing_mm, dtype=np.float32).reshape(3, 1, 1, 1)
            for axis, index in enumerate(np.ogrid[tuple(slice(s.stop - s.start) for s in box)]):
                moved[axis] += index
            inside = (numbers[box] == number).astype(np.float32)
            yield Component(value, box, map_coordinates(inside, moved, order=1, mode="nearest"))


def _within_reach(tight: tuple[slice, ...], mask: Volume, displacement: np.ndarray) -> Box:
    """A box that holds all that a box can move to, and one voxel more."""
    reach = np.ceil(np.abs(displacement).max(axis=(1, 2, 3)) / mask.grid.spacing_mm).astype(int) + 2
    sides = zip(tight, reach.tolist(), mask.grid.shape, strict=True)
    x, y, z = (slice(max(0, s.start - r), min(n, s.stop + r)) for s, r, n in sides)
    return x, y, z
