"""A voxel array together with the grid it lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.errors import InvalidVolume
from lldm_aug.geometry import Grid


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

    Args:
        data: (X, Y, Z), or (C, X, Y, Z) for several channels on one grid.
        grid: the grid; its shape is that of the last three axes.

    Raises:
        InvalidVolume: when array and grid differ in shape.
    """

    data: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        if self.data.ndim not in (3, 4) or self.data.shape[-3:] != self.grid.shape:
            raise InvalidVolume(f"array of shape {self.data.shape} on a grid of shape {self.grid.shape}")
