"""Phantoms that several tests look at."""

from __future__ import annotations

from functools import cache

import numpy as np

from lldm_aug.geometry import Grid
from lldm_aug.phantom.anatomy import Anatomy, draw_anatomy
from lldm_aug.phantom.case import DEFAULT_GRID, phantom_labels

COARSE = Grid.regular((40, 32, 24), (8.0, 8.0, 9.0))
SEEDS = range(20)


@cache
def anatomy(seed: int) -> Anatomy:
    """The person of a seed."""
    return draw_anatomy(seed)


@cache
def labels(seed: int) -> np.ndarray:
    """That person's labels on the default grid."""
    return phantom_labels(seed, DEFAULT_GRID)


def volume_ml(mask: np.ndarray, grid: Grid = DEFAULT_GRID) -> float:
    """Volume of a boolean mask."""
    return float(np.count_nonzero(mask) * grid.voxel_volume_mm3 / 1000)
