"""A kidney: cortex, pyramids and pelvis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Box, Waves, ellipsoid, smooth_intersection
from lldm_aug.phantom.body import Organ

SINUS_MM = 11.0
CORTEX_MM = 6.0


@dataclass(frozen=True)
class Kidney:
    """A bean with its hilum towards the spine.

    Args:
        outline: an ellipsoid around it.
        inwards: direction (x) of the spine, 1 or -1.
        tilt: how far the lower pole lies outwards, mm per mm.
        pyramids: unevenness that tells medulla from columns.
    """

    outline: Organ
    inwards: float
    tilt: float
    pyramids: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, outline: Organ) -> Kidney:
        """A kidney in this outline."""
        inwards = -float(np.sign(outline.centre_mm[0]))
        return cls(outline, inwards, float(rng.uniform(0.1, 0.25)), Waves.draw(rng, 1.0, (16, 18, 20, 23, 26)))

    def _upright(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """x as it would be in a kidney that stands upright."""
        upright: np.ndarray = x - np.float32(self.inwards * self.tilt) * (z - np.float32(self.outline.centre_mm[2]))
        return upright

    def _sinus(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        (cx, cy, cz), (rx, _, rz) = self.outline.centre_mm, self.outline.radii_mm
        return ellipsoid(x, y, z, (cx + self.inwards * 0.75 * rx, cy + 3, cz), (0.75 * rx, SINUS_MM, 0.5 * rz))

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside cortex and medulla."""
        x = self._upright(x, z)
        return smooth_intersection(self.outline(x, y, z), -self._sinus(x, y, z), 5)

    def medulla(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the pyramids."""
        depth = self.outline(self._upright(x, z), y, z) + np.float32(CORTEX_MM)
        pyramids: np.ndarray = np.maximum(depth, 3 * (0.0 - self.pyramids(x, y, z)) - 1.5)
        return pyramids

    def pelvis(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the renal pelvis, in the sinus."""
        return self._sinus(self._upright(x, z), y, z) + 4.5

    @property
    def box_mm(self) -> Box:
        """Opposite corners of a box around it."""
        low, high = self.outline.box_mm
        lean = np.array([self.tilt * self.outline.radii_mm[2], 0, 0])
        return low - lean, high + lean
