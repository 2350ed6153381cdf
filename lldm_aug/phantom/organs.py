"""Spleen, stomach, gallbladder and kidneys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Box, Waves, ellipsoid, smooth_intersection, smooth_union
from lldm_aug.phantom.body import BodyOrgan

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

    outline: BodyOrgan
    inwards: float
    tilt: float
    pyramids: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, outline: BodyOrgan) -> Kidney:
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


@dataclass(frozen=True)
class Spleen:
    """A comma that lies along the wall.

    Args:
        outline: an ellipsoid around it.
        hollow: what its inner face gives way to.
    """

    outline: BodyOrgan
    hollow: BodyOrgan

    @classmethod
    def of_size(cls, outline: BodyOrgan) -> Spleen:
        """A spleen in this outline."""
        (x, y, z), (a, b, c) = outline.centre_mm, outline.radii_mm
        return cls(outline, BodyOrgan((x + 1.15 * a, y + 0.35 * b, z - 0.25 * c), (1.15 * a, 0.95 * b, 1.1 * c)))

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside."""
        return smooth_intersection(self.outline(x, y, z), -self.hollow(x, y, z), 6)

    @property
    def box_mm(self) -> Box:
        """Opposite corners of the box around it."""
        return self.outline.box_mm


@dataclass(frozen=True)
class Stomach:
    """Fundus and antrum with a wall; gas lies in front of the fluid.

    Args:
        fundus, antrum: its two parts.
        wall_mm: thickness of the wall.
        level_mm: y of the fluid's surface.
        folds: unevenness of the wall's inner face in mm.
    """

    fundus: BodyOrgan
    antrum: BodyOrgan
    wall_mm: float
    level_mm: float
    folds: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, fundus: BodyOrgan, antrum: BodyOrgan) -> Stomach:
        """A stomach of these parts, a little or well filled with gas."""
        level = fundus.centre_mm[1] + fundus.radii_mm[1] * rng.uniform(-0.2, 0.9)
        folds = Waves.draw(rng, float(rng.uniform(0.6, 1.6)), (10, 12, 15, 20, 40))
        return cls(fundus, antrum, float(rng.uniform(3.5, 6)), float(level), folds)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the wall's outer face."""
        return smooth_union(self.fundus(x, y, z), self.antrum(x, y, z), 18)

    def lumen(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the wall's inner face."""
        lumen: np.ndarray = self(x, y, z) + np.float32(self.wall_mm) + self.folds(x, y, z)
        return lumen

    def gas(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the gas."""
        gas: np.ndarray = np.maximum(self.lumen(x, y, z), np.float32(self.level_mm) - y)
        return gas

    @property
    def box_mm(self) -> Box:
        """Opposite corners of a box around it."""
        (a, b), (c, d) = self.fundus.box_mm, self.antrum.box_mm
        return np.minimum(a, c) - 4, np.maximum(b, d) + 4


@dataclass(frozen=True)
class Gallbladder:
    """A sac in which bile with agent lies apart from bile without.

    Args:
        outline: its shape.
        level_mm: y of the border between them.
        agent_in_front: whether the bile with agent is the lighter one.
    """

    outline: BodyOrgan
    level_mm: float
    agent_in_front: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, outline: BodyOrgan) -> Gallbladder:
        """A gallbladder of this shape, filled with agent to some level."""
        in_front = bool(rng.random() < 0.6)
        side = 1 if in_front else -1
        return cls(outline, outline.centre_mm[1] + side * outline.radii_mm[1] * float(rng.uniform(-1.3, 0.6)), in_front)

    def plain_bile(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the bile without agent."""
        beyond = (y - np.float32(self.level_mm)) * (1 if self.agent_in_front else -1)
        plain: np.ndarray = np.maximum(self.outline(x, y, z), beyond)
        return plain
