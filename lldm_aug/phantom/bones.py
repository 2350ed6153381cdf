"""Ribs and spine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.body import Body

RIB_MARROW_MM = 2.2
RIB_MM = 4.0
VERTEBRA_MM = 25.0
DISC_MM = 9.0


@dataclass(frozen=True)
class Ribs:
    """Rods that run round the wall, lower in front than behind, and end at the costal margin.

    Args:
        body: whose wall they lie in.
        spacing_mm: from rib to rib.
        phase_mm: height of one of them at the side.
        drop_mm: how much lower a rib is in front than behind.
        margin_mm: height of the costal margin in the flank.
    """

    body: Body
    spacing_mm: float
    phase_mm: float
    drop_mm: float
    margin_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body) -> Ribs:
        """The ribs of this body."""
        spacing = float(rng.uniform(25, 30))
        return cls(body, spacing, float(rng.uniform(0, spacing)), float(rng.uniform(50, 80)), float(rng.normal(-75, 8)))

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance in mm from the axis of the nearest rib (flattened), for points in the wall."""
        front = np.clip(y / self.body.half_depth_mm, -1, 1)
        height = z + np.float32(self.drop_mm / 2) * front - np.float32(self.phase_mm)
        height = height - np.float32(self.spacing_mm) * np.rint(height / np.float32(self.spacing_mm))
        across = self.body.muscle(x, y) + np.float32(self.body.wall_mm * 0.55)
        ended = z < self.margin_mm + 130 * np.maximum(front, 0) ** 2
        distance: np.ndarray = np.hypot(height / 1.5, across) + 100 * ended
        return distance


@dataclass(frozen=True)
class Spine:
    """Vertebral bodies and discs in turn, canal with cord, lamina and processes.

    Args:
        y_mm: of the bodies' centre.
        phase_mm: lower border of one vertebral body.
    """

    y_mm: float
    phase_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body) -> Spine:
        """The spine of this body."""
        return cls(body.spine_y_mm, float(rng.uniform(0, VERTEBRA_MM + DISC_MM)))

    def level(self, z: np.ndarray) -> np.ndarray:
        """Height in mm above the lower border of the vertebra at this height."""
        return np.mod(z - np.float32(self.phase_mm), np.float32(VERTEBRA_MM + DISC_MM))

    def in_disc(self, z: np.ndarray) -> np.ndarray:
        """Whether a disc, and no vertebral body, lies at this height."""
        disc: np.ndarray = self.level(z) > VERTEBRA_MM
        return disc

    def body(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the column of vertebral bodies, flat towards the canal."""
        column = np.hypot(x / 1.25, y - self.y_mm) - 16
        flat: np.ndarray = np.maximum(column, self.y_mm - 13 - y)
        return flat

    def canal(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the spinal canal."""
        return np.hypot(x / 1.2, y - self.y_mm + 23) - 8

    def arch(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside lamina and processes, which leave gaps beside the discs."""
        ring = np.abs(np.hypot(x / 1.2, y - self.y_mm + 23) - 11) - 3
        spinous = np.maximum(np.abs(x) - 3.5, np.abs(y - self.y_mm + 46) - 14)
        transverse = np.maximum(np.abs(y - self.y_mm + 22 + 0.15 * np.abs(x)) - 4, np.abs(np.abs(x) - 26) - 14)
        gap = np.abs(self.level(z) - VERTEBRA_MM / 2) - 11
        arch: np.ndarray = np.maximum(np.minimum(np.minimum(ring, spinous), transverse), gap)
        return arch

    def cord(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the cord, which thins out at the conus."""
        radius = np.clip(4.5 + (z + 60) / 30, 0, 4.5)
        distance: np.ndarray = np.hypot(x / 1.2, y - self.y_mm + 22) - radius
        return distance
