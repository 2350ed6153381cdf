"""Painting shapes over a grid of tissues, each within its own box; curved tubes of changing width are one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from lldm_aug.anatomy.implicit import Box
from lldm_aug.phantom.frame import BodyFrame

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


Shape = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Brush:
    """A map of tissues being painted.

    Args:
        tissues: (X, Y, Z) uint8, changed in place.
        frame: of its voxels.
    """

    tissues: np.ndarray
    frame: BodyFrame

    def surface(self, shape: Shape, box_mm: Box, tissue: int, over: tuple[int, ...]) -> None:
        """Paints the inside of an implicit surface where one of these tissues is."""
        slices, sub = self.frame.crop(*box_mm)
        part = self.tissues[slices]
        allowed = _is_any(part, over)
        part[allowed & (shape(*sub.positions()) < 0)] = tissue

    def tube(self, tube: Tube, tissue: int, over: tuple[int, ...]) -> None:
        """Paints a tube where one of these tissues is."""
        points, radii = tube.points_mm, tube.radii_mm
        for start, end, radius in zip(points[:-1], points[1:], radii[1:], strict=True):
            self.capsule((start, end), float(radius), tissue, over)

    def capsule(self, ends: tuple[np.ndarray, np.ndarray], radius: float, tissue: int, over: tuple[int, ...]) -> None:
        """Paints what is nearer than the radius to the segment between the ends, where one of these tissues is."""
        slices, sub = self.frame.crop(np.minimum(*ends) - radius, np.maximum(*ends) + radius)
        part = self.tissues[slices]
        part[_within(sub, *ends, radius) & _is_any(part, over)] = tissue

    def voxels(self, voxels: np.ndarray, tissue: int, over: tuple[int, ...]) -> None:
        """Paints voxels (K, 3) where one of these tissues is."""
        i, j, k = voxels.T
        allowed = _is_any(self.tissues[i, j, k], over)
        self.tissues[i[allowed], j[allowed], k[allowed]] = tissue

    def gather(self, where: np.ndarray) -> list[np.ndarray]:
        """x, y, z, each (K,), of the voxels where a boolean array of the grid's shape is true."""
        return [np.broadcast_to(axis, where.shape)[where] for axis in self.frame.positions()]


def _is_any(part: np.ndarray, tissues: tuple[int, ...]) -> np.ndarray:
    allowed: np.ndarray = part == tissues[0]
    for tissue in tissues[1:]:
        allowed |= part == tissue
    return allowed


def _within(frame: BodyFrame, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Voxels nearer than the radius to the segment from start to end."""
    x, y, z = (axis - np.float32(s) for axis, s in zip(frame.positions(), start, strict=True))
    dx, dy, dz = (end - start).astype(np.float32)
    along = np.clip((x * dx + y * dy + z * dz) / max(float(dx * dx + dy * dy + dz * dz), 1e-6), 0, 1)
    near: np.ndarray = (x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2 < radius * radius
    return near
