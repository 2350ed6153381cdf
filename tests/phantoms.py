"""Phantoms that several tests look at."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import label

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.phantom.anatomy import Person, draw_anatomy
from lldm_aug.phantom.render_case import DEFAULT_GRID, phantom_case, phantom_labels

COARSE = Grid.regular((40, 32, 24), (8.0, 8.0, 9.0))
SEEDS = range(20)
SEED, CASES = 0, range(8)
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)
PORTAL, HEPATIC, TUMOUR = (HBP.value(name) for name in ("portal_vein", "hepatic_vein", "hcc"))


@cache
def anatomy(seed: int) -> Person:
    """The person of a seed."""
    return draw_anatomy(seed)


@cache
def labels(seed: int) -> np.ndarray:
    """That person's labels on the default grid."""
    return phantom_labels(seed, DEFAULT_GRID)


@cache
def case(index: int) -> Case:
    """A case on the default grid; an image takes seconds, so that all tests look at the same ones."""
    return phantom_case(SEED, index, DEFAULT_GRID)


def volume_ml(mask: np.ndarray, grid: Grid = DEFAULT_GRID) -> float:
    """Volume of a boolean mask."""
    return float(np.count_nonzero(mask) * grid.voxel_volume_mm3 / 1000)


def vessel_share(mask: np.ndarray) -> float:
    """Share of the liver."""
    return float(np.isin(mask, (PORTAL, HEPATIC)).sum() / (mask > 0).sum())


def portal_share(mask: np.ndarray) -> float:
    """Share of the vessels."""
    return float((mask == PORTAL).sum() / np.isin(mask, (PORTAL, HEPATIC)).sum())


def tumour_sizes_mm(mask: np.ndarray) -> list[float]:
    """Diameters of balls of the tumours' volumes."""
    components, count = label(mask == TUMOUR, ANY_NEIGHBOUR)
    volumes = np.bincount(components.ravel(), minlength=count + 1)[1:] * DEFAULT_GRID.voxel_volume_mm3
    return [float(np.cbrt(6 / np.pi * v)) for v in volumes]


def assert_shapes_of_people(masks: list[np.ndarray]) -> None:
    """Livers and vessels have the sizes of people's."""
    volumes = [volume_ml(mask > 0) for mask in masks]
    assert 1000 * 0.97 < min(volumes) < max(volumes) < 3400 * 1.03
    assert 1400 < np.median(volumes) < 1800
    shares = [vessel_share(mask) for mask in masks]
    assert 0.01 < min(shares) < max(shares) < 0.08
    assert 0.02 < np.median(shares) < 0.04
    portal = [portal_share(mask) for mask in masks]
    assert 0.35 < np.median(portal) < 0.45
    low, high = np.quantile(portal, [0.05, 0.95])
    assert 0.25 < low < high < 0.6
