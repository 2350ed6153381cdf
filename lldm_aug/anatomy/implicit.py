"""Implicit surfaces: functions of position, negative inside a shape, near its surface about the distance in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]
Box = tuple[np.ndarray, np.ndarray]
"""Opposite corners (3,)."""


def ellipsoid(x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: Vector, radii: Vector) -> np.ndarray:
    """An axis-aligned ellipsoid; divided by the length of its gradient, so in mm near the surface."""
    u, v, w = ((p - c) / r for p, c, r in zip((x, y, z), centre, radii, strict=True))
    norm = np.sqrt(u * u + v * v + w * w) + 1e-6
    gradient = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (w / radii[2]) ** 2) + 1e-6
    distance: np.ndarray = norm * (norm - 1) / gradient
    return distance


def superellipse(x: np.ndarray, y: np.ndarray, half_width: float, half_depth: float, power: float = 2.4) -> np.ndarray:
    """A rounded-box cylinder along z around the origin."""
    norm = (np.abs(x / half_width) ** power + np.abs(y / half_depth) ** power) ** (1 / power)
    distance: np.ndarray = (norm - 1) * min(half_width, half_depth)
    return distance


def smooth_union(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """The union of two shapes with a fillet of about this size (quadratic smooth minimum)."""
    overlap = np.maximum(blend_mm - np.abs(a - b), 0) / blend_mm
    blended: np.ndarray = np.minimum(a, b) - overlap * overlap * (blend_mm / 4)
    return blended


def smooth_intersection(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """The intersection of two shapes with a rounded edge."""
    return -smooth_union(-a, -b, blend_mm)


@dataclass(frozen=True)
class Waves:
    """A smooth random function of position: a sum of plane waves.

    Args:
        vectors: (K, 3) wave vectors in radians per mm.
        phases: (K,) radians.
        amplitude: standard deviation of the function.
    """

    vectors: np.ndarray
    phases: np.ndarray
    amplitude: float

    @classmethod
    def draw(cls, rng: np.random.Generator, amplitude: float, wavelengths_mm: Sequence[float]) -> Waves:
        """One wave of each length in a random direction."""
        directions = rng.normal(size=(len(wavelengths_mm), 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        vectors = directions * (2 * np.pi / np.asarray(wavelengths_mm))[:, None]
        return cls(vectors.astype(np.float32), rng.uniform(0, 2 * np.pi, len(vectors)).astype(np.float32), amplitude)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The function at these positions."""
        waves = [np.sin(a * x + b * y + (c * z + p)) for (a, b, c), p in zip(self.vectors, self.phases, strict=True)]
        scale = np.float32(self.amplitude * np.sqrt(2 / len(waves)))
        total: np.ndarray = sum(waves[1:], waves[0]) * scale
        return total
