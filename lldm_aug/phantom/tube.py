"""A curved tube of changing width: bowel, ducts, pancreas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

STEP_MM = 4.0


@dataclass(frozen=True)
class Tube:
    """Round segments one after the other.

    Args:
        points_mm: (N, 3) of the centre line.
        radii_mm: (N,).
    """

    points_mm: np.ndarray
    radii_mm: np.ndarray

    @classmethod
    def through(cls, points_mm: np.ndarray, radii_mm: np.ndarray) -> Tube:
        """A smooth tube through a few points (K, 3) with radii (K,): monotone cubic along its length."""
        lengths = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
        at = np.concatenate([[0.0], np.cumsum(lengths)])
        fine = np.linspace(0, at[-1], max(2, round(at[-1] / STEP_MM)))
        return cls(PchipInterpolator(at, points_mm)(fine), PchipInterpolator(at, radii_mm)(fine))

    def narrowed(self, by_mm: float) -> Tube:
        """The lumen of a tube with a wall of this thickness."""
        return Tube(self.points_mm, np.maximum(self.radii_mm - by_mm, 0.5))

    def part(self, start: float, end: float) -> Tube:
        """The stretch between two fractions of its length."""
        count = len(self.points_mm)
        chosen = slice(int(start * count), max(int(start * count) + 2, int(end * count)))
        return Tube(self.points_mm[chosen], self.radii_mm[chosen])
