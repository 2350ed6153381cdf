"""Figures of a mask that say whether it is anatomically possible."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from lldm_aug.geometry import Box

SPECK_VOXELS = 4
"""A connected component of fewer voxels is a speck."""
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


def tight_box(structure: np.ndarray) -> Box | None:
    """The smallest box that holds a boolean structure (X, Y, Z); None for an empty one."""
    sides = []
    for axis in range(3):
        found = np.flatnonzero(structure.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    x, y, z = sides
    return x, y, z


def box_around(structure: np.ndarray, reach: Collection[int]) -> Box:
    """The smallest box of a structure (X, Y, Z) with a voxel at least, wider by so many voxels along each axis.

    It ends where the grid does.
    """
    tight = tight_box(structure)
    assert tight is not None, "an empty structure has no surroundings"
    x, y, z = (
        slice(max(0, side.start - more), min(size, side.stop + more))
        for side, more, size in zip(tight, reach, structure.shape, strict=True)
    )
    return x, y, z


def grown(structure: np.ndarray, spacing_mm: tuple[float, float, float], margin_mm: float) -> np.ndarray:
    """A structure (X, Y, Z) with a voxel at least, and all voxels that are no further away from it than a margin."""
    box = box_around(structure, np.ceil(margin_mm / np.asarray(spacing_mm)).astype(int).tolist())
    region: np.ndarray = np.zeros_like(structure)
    region[box] = distance_transform_edt(~structure[box], sampling=spacing_mm) <= margin_mm
    return region


def component_sizes(structure: np.ndarray) -> np.ndarray:
    """Voxels of each connected component of a boolean structure, neighbours by face, edge or corner; the largest
    first."""
    box = tight_box(structure)
    if box is None:
        return np.zeros(0, dtype=int)
    components, _ = label(structure[box], ANY_NEIGHBOUR)
    return np.sort(np.bincount(components.ravel())[1:])[::-1]


def largest_share(structure: np.ndarray) -> float:
    """Share of a boolean structure that is its largest connected component; 1 for an empty one."""
    sizes = component_sizes(structure)
    return float(sizes[0] / sizes.sum()) if len(sizes) else 1.0


def largest_component(structure: np.ndarray, neighbours: np.ndarray | None = None) -> np.ndarray:
    """The largest connected component of a boolean structure, the first of equals; neighbours by face unless said
    otherwise."""
    components, count = label(structure, neighbours)
    if count < 2:
        return structure
    largest: np.ndarray = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return largest


def exposed_shares(components: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N,) share of each connected component's surface behind which there is background.

    Args:
        components: (X, Y, Z) number of each voxel's connected component from 1 to N, 0 elsewhere.
        mask: (X, Y, Z) labels; faces at the border of the grid are not counted.
    """
    count = int(components.max(initial=0))
    surface, bare = np.zeros(count + 1), np.zeros(count + 1)
    for axis in range(3):
        low, high = (np.s_[:-1], np.s_[1:])
        for here, there in ((low, high), (high, low)):
            ours, theirs = (tuple(side if a == axis else np.s_[:] for a in range(3)) for side in (here, there))
            face = (components[ours] > 0) & (components[ours] != components[theirs])
            numbers = components[ours][face]
            surface += np.bincount(numbers, minlength=count + 1)
            bare += np.bincount(numbers[mask[theirs][face] == 0], minlength=count + 1)
    shares: np.ndarray = (bare / np.maximum(surface, 1))[1:]
    return shares


def touching_share(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the smaller of two boolean structures that has a voxel of the larger as neighbour; 0 if one is empty."""
    small, large = sorted((one, other), key=np.count_nonzero)
    box = tight_box(small)
    if box is None:
        return 0.0
    around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
    near = binary_dilation(large[around], ANY_NEIGHBOUR) & small[around]
    return float(np.count_nonzero(near) / np.count_nonzero(small))
