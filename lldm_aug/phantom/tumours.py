"""Focal lesions: where they are, how large, and how they look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.implicit import Vector, Waves, ellipsoid
from lldm_aug.phantom.liver import LiverDepth

MAX_COUNT = 8
DIAMETER_RANGE_MM = (5.0, 120.0)
MEDIAN_DIAMETER_MM = 19.0
BRIGHT_SHARE = 0.13
TRIES = 40


@dataclass(frozen=True)
class Tumour:
    """One lesion.

    Args:
        centre_mm: in the phantom's frame.
        radii_mm: of its ellipsoid.
        waves: unevenness of its border in mm.
        t1_ms: relaxation time of its tissue in the hepatobiliary phase.
    """

    centre_mm: Vector
    radii_mm: Vector
    waves: Waves
    t1_ms: float

    @property
    def reach_mm(self) -> float:
        """No part of it is further from its centre."""
        return max(self.radii_mm) + 2 * self.waves.amplitude

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside."""
        surface: np.ndarray = ellipsoid(x, y, z, self.centre_mm, self.radii_mm) + self.waves(x, y, z)
        return surface


def draw_tumours(
    rng: np.random.Generator, depth: LiverDepth, keep_clear_mm: np.ndarray, liver_t1_ms: float
) -> tuple[Tumour, ...]:
    """0-8 lesions inside the liver, clear of each other and of the main vessels.

    Args:
        rng: random numbers.
        depth: the liver.
        keep_clear_mm: (K, 3) places of main vessels.
        liver_t1_ms: of the parenchyma; a few lesions take up the agent as it does.
    """
    count = 0 if rng.random() < 0.08 else min(MAX_COUNT, 1 + int(rng.poisson(rng.exponential(1.8))))
    diameters = np.clip(MEDIAN_DIAMETER_MM * np.exp(rng.normal(0, 0.65, count)), *DIAMETER_RANGE_MM)
    placed: list[Tumour] = []
    for radius in np.sort(diameters)[::-1] / 2:
        tumour = _place(rng, depth, keep_clear_mm, float(radius), placed, liver_t1_ms)
        if tumour is not None:
            placed.append(tumour)
    return tuple(placed)


def _place(
    rng: np.random.Generator,
    depth: LiverDepth,
    keep_clear_mm: np.ndarray,
    radius_mm: float,
    placed: list[Tumour],
    liver_t1_ms: float,
) -> Tumour | None:
    """A lesion of this radius somewhere with enough room; None when no place was found."""
    for _ in range(TRIES):
        centre = depth.inside_mm[rng.integers(len(depth.inside_mm))] + rng.uniform(-2, 2, 3)
        aside = all(np.linalg.norm(centre - t.centre_mm) > t.reach_mm + 1.2 * radius_mm + 5 for t in placed)
        clear = np.linalg.norm(keep_clear_mm - centre, axis=1).min() > 1.2 * radius_mm + 10
        if aside and clear and depth(centre[None])[0] > 0.75 * radius_mm:
            radii = radius_mm * rng.uniform(0.85, 1.15, 3)
            waves = Waves.draw(rng, 0.07 * radius_mm, tuple(radius_mm * w for w in (1.5, 2.0, 2.5, 3.5)))
            return Tumour(_vector(centre), _vector(radii), waves, _draw_t1(rng, liver_t1_ms))
    return None


def _draw_t1(rng: np.random.Generator, liver_t1_ms: float) -> float:
    if rng.random() < BRIGHT_SHARE:
        return liver_t1_ms * float(rng.uniform(0.75, 1.15))
    return float(rng.uniform(2.0, 3.2)) * liver_t1_ms


def _vector(values: np.ndarray) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
