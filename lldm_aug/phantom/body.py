"""The trunk: outline, subcutaneous fat, muscular wall, ribs, spine and great vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Vector, ellipsoid, superellipse

GROOVE_MM = 7.0


@dataclass(frozen=True)
class Body:
    """A person's trunk in the phantom's frame.

    Args:
        half_width_mm, half_depth_mm: of the skin's outline.
        fat_mm: thickness of the subcutaneous fat at the sides (half of it in front).
        wall_mm: thickness of muscle and ribs.
        spine_y_mm: position of the vertebral bodies' centre along the back-to-front axis.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    wall_mm: float
    spine_y_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, bulk: float) -> Body:
        """A trunk for a person of this bulk (about -1 slim .. 1 stout)."""
        half_width = float(np.clip(140 + 9 * bulk + rng.normal(0, 3), 126, 154))
        half_depth = float(np.clip(106 + 10 * bulk + rng.normal(0, 3), 92, 122))
        fat = float(np.clip(12 + 5 * bulk + rng.normal(0, 3), 5, 24))
        return cls(half_width, half_depth, fat, float(rng.uniform(9, 13)), -half_depth + fat + rng.uniform(36, 42))

    def skin(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the body."""
        skin: np.ndarray = superellipse(x, y, self.half_width_mm, self.half_depth_mm) + self._groove(x, y)
        return skin

    def muscle(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the subcutaneous fat's inner border."""
        outer = superellipse(x, y - self.fat_mm / 4, self.half_width_mm - self.fat_mm, self._muscle_depth)
        muscle: np.ndarray = outer + self._groove(x, y)
        return muscle

    def _groove(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Depth in mm of the furrow over the spine."""
        return GROOVE_MM * np.exp(-((x / 20) ** 2)) * (y < 0)

    def cavity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the muscular wall: where the organs are."""
        wide, deep = self.half_width_mm - self.fat_mm - self.wall_mm, self._muscle_depth - self.wall_mm
        return superellipse(x, y - self.fat_mm / 4, wide, deep)

    @property
    def _muscle_depth(self) -> float:
        return self.half_depth_mm - 0.75 * self.fat_mm

    def vertebra(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the column of vertebral bodies."""
        return np.hypot(x / 1.2, y - self.spine_y_mm) - 17

    def back(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the muscles beside the spine."""
        distance: np.ndarray = np.hypot((np.abs(x) - 28) / 1.5, y - self.spine_y_mm + 20) - 19
        return distance

    @property
    def aorta_mm(self) -> tuple[float, float]:
        """Centre (x, y) of the aorta."""
        return -10.0, self.spine_y_mm + 29

    @property
    def cava_mm(self) -> tuple[float, float]:
        """Centre (x, y) of the inferior vena cava."""
        return 24.0, self.spine_y_mm + 32

    def aorta(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the aorta."""
        return np.hypot(x - self.aorta_mm[0], y - self.aorta_mm[1]) - 10

    def cava(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Negative inside the inferior vena cava."""
        return np.hypot((x - self.cava_mm[0]) / 1.15, y - self.cava_mm[1]) - 10.5


@dataclass(frozen=True)
class BodyOrgan:
    """A neighbour of the liver: one ellipsoid.

    Args:
        centre_mm, radii_mm: in the phantom's frame.
    """

    centre_mm: Vector
    radii_mm: Vector

    @classmethod
    def draw(cls, rng: np.random.Generator, centre_mm: Vector, radii_mm: Vector) -> BodyOrgan:
        """An organ that differs a little from the usual one."""
        c, r = rng.normal(0, 3, 3) + centre_mm, np.asarray(radii_mm) * rng.uniform(0.85, 1.15, 3)
        return cls((float(c[0]), float(c[1]), float(c[2])), (float(r[0]), float(r[1]), float(r[2])))

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside."""
        return ellipsoid(x, y, z, self.centre_mm, self.radii_mm)

    @property
    def box_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Opposite corners of the box around it."""
        centre, radii = np.asarray(self.centre_mm), np.asarray(self.radii_mm)
        return centre - radii, centre + radii


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
