"""Which slices of a case to show, and how they lie on a radiologist's screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Plane:
    """An anatomical plane of a volume in RAS order.

    Args:
        name: what it is called.
        normal: the axis across it.
        across: the axis along a row of the picture.
        down: the axis along a column.
    """

    name: str
    normal: int
    across: int
    down: int

    def slice(self, volume: np.ndarray, index: int) -> np.ndarray:
        """(rows, columns) of one slice: the patient's right is on the left, anterior (or superior) is up.

        In sagittal planes anterior is on the left. Each axis of RAS grows away from where the picture begins.
        """
        picture: np.ndarray = volume.take(index, axis=self.normal).T[::-1, ::-1]
        return picture

    def size_mm(self, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[float, float]:
        """Width and height of the picture."""
        return shape[self.across] * spacing_mm[self.across], shape[self.down] * spacing_mm[self.down]


PLANES = (
    Plane("axial", normal=2, across=0, down=1),
    Plane("coronal", normal=1, across=0, down=2),
    Plane("sagittal", normal=0, across=1, down=2),
)


MARGIN = 0.6
"""How far the window reaches beyond the labelled range on each side, as a share of it."""


class IntensityWindow(NamedTuple):
    """Grey values shown as black and as white."""

    low: float
    high: float


def best_slice(label: np.ndarray, plane: Plane) -> int:
    """The slice where the rarest structure present has its largest area; the middle one for an empty mask."""
    values, counts = np.unique(label[label > 0], return_counts=True)
    if not values.size:
        return int(label.shape[plane.normal]) // 2
    rarest = label == values[counts.argmin()]
    area: np.ndarray = rarest.sum(axis=(plane.across, plane.down))
    # Of equally large areas the middle one: the first would show the structure's edge.
    candidates = np.flatnonzero(area == area.max())
    return int(candidates[len(candidates) // 2])


def robust_window(image: np.ndarray, label: np.ndarray) -> IntensityWindow:
    """One window for a whole case: the labelled voxels' range (without one, all voxels'), widened on both sides."""
    values = image[label > 0] if label.any() else image
    low, high = (float(v) for v in np.percentile(values, (2, 98)))
    margin = MARGIN * (high - low)
    low, high = max(low - margin, float(image.min())), min(high + margin, float(image.max()))
    return IntensityWindow(low, high if high > low else low + 1.0)
