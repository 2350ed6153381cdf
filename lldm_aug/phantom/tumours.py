"""Focal lesions: where they are, how large, how they look, and what is inside: nodules, necrosis, a capsule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Vector, Waves, ellipsoid
from lldm_aug.phantom.liver import LiverDepth
from lldm_aug.phantom.tissues import LESIONS, Tissue

ABSENT = 1e3


@dataclass(frozen=True)
class Interior:
    """What a lesion consists of besides its own tissue.

    Args:
        mosaic: a function of position with standard deviation 1.
        nodule_level: nodules lie where the mosaic is higher; `ABSENT` for none.
        necrosis_mm: mean depth under the border from which the lesion is dead; `ABSENT` for none.
        capsule_mm: thickness of the capsule; 0 for none.
        nodule_t1_ms, necrosis_t1_ms, capsule_t1_ms: relaxation times.
    """

    mosaic: Waves
    nodule_level: float
    necrosis_mm: float
    capsule_mm: float
    nodule_t1_ms: float
    necrosis_t1_ms: float
    capsule_t1_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator, radius_mm: float, t1_ms: float, liver_t1_ms: float) -> Interior:
        """The inside of a lesion of this radius: the larger, the more of it."""
        wavelengths = np.clip(radius_mm * np.array([0.7, 0.9, 1.1, 1.4, 1.8]), 6, 40)
        has_nodules, has_necrosis, has_capsule = rng.random(3) < [0.75, (radius_mm - 12) / 25, (radius_mm - 7) / 16]
        rim = rng.uniform(0.8, 1.0) * liver_t1_ms if rng.random() < 0.15 else rng.uniform(1000, 1500)
        bleeding = rng.random() < 0.12
        return cls(
            mosaic=Waves.draw(rng, 1.0, tuple(wavelengths)),
            nodule_level=float(rng.uniform(0.2, 1.0)) if has_nodules else ABSENT,
            necrosis_mm=float(radius_mm * rng.uniform(0.35, 0.6)) if has_necrosis else ABSENT,
            capsule_mm=float(rng.uniform(1.2, 2.4)) if has_capsule else 0.0,
            nodule_t1_ms=float(t1_ms * rng.choice([rng.uniform(0.6, 0.85), rng.uniform(1.15, 1.5)])),
            necrosis_t1_ms=float(rng.uniform(300, 450) if bleeding else rng.uniform(1700, 3000)),
            capsule_t1_ms=float(rim),
        )

    def tissue(self, depth_mm: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(K,) uint8 codes of lesion 0 at K points, given their depth under its border."""
        mosaic = self.mosaic(x, y, z)
        codes = np.where(mosaic > self.nodule_level, np.uint8(Tissue.NODULE), np.uint8(Tissue.TUMOUR))
        codes[depth_mm > self.necrosis_mm * (1 + 0.2 * mosaic)] = Tissue.NECROSIS
        codes[depth_mm < self.capsule_mm] = Tissue.CAPSULE
        return codes


DIAMETER_RANGE_MM = (5.0, 120.0)
MEDIAN_DIAMETER_MM = 19.0
DIAMETER_SPREAD = 0.88
BRIGHT_SHARE = 0.13
LARGE_MM = 22.0
"""Lesions of a larger radius displace or cut side branches; smaller ones lie between them."""
LARGEST_SHARE = 0.4
"""Of the liver's volume that one lesion takes."""
LARGEST_EXPOSED = 0.35
"""Share of a lesion's border that lies outside the liver (and is cut off by it)."""
TRIES = 8
"""Draws of one lesion before it is left out, where all are too much exposed, as in a thin lobe."""
DIRECTIONS = 200


@dataclass(frozen=True)
class Tumour:
    """One lesion.

    Args:
        centre_mm: in the phantom's frame.
        radii_mm: of its ellipsoid.
        waves: unevenness of its border in mm.
        t1_ms: relaxation time of its tissue in the hepatobiliary phase.
        interior: what else it consists of.
    """

    centre_mm: Vector
    radii_mm: Vector
    waves: Waves
    t1_ms: float
    interior: Interior

    @property
    def reach_mm(self) -> float:
        """No part of it is further from its centre."""
        return max(self.radii_mm) + 2 * self.waves.amplitude

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside."""
        surface: np.ndarray = ellipsoid(x, y, z, self.centre_mm, self.radii_mm) + self.waves(x, y, z)
        return surface


@dataclass(frozen=True)
class TumourPlacement:
    """Where lesions may lie.

    Args:
        depth: the liver.
        keep_clear_mm: (K, 3) roots and forks of the vessels, which no lesion reaches.
        branches_mm: (L, 3) places of main branches, which only large lesions reach.
    """

    depth: LiverDepth
    keep_clear_mm: np.ndarray
    branches_mm: np.ndarray

    def room(self, radius_mm: float, placed: list[Tumour]) -> np.ndarray:
        """(N, 3) places where a lesion of this radius can lie."""
        places = self.depth.inside_mm
        large = radius_mm > LARGE_MM
        free = self.depth.inside_depth_mm > (0.62 if large else 0.75) * radius_mm
        free &= _nearest(places, self.keep_clear_mm) > (1.1 if large else 1.15) * radius_mm + 9
        if not large:
            free &= _nearest(places, self.branches_mm) > 1.2 * radius_mm + 10
        for other in placed:
            free &= np.linalg.norm(places - other.centre_mm, axis=1) > other.reach_mm + 1.2 * radius_mm + 5
        found: np.ndarray = places[free]
        return found

    def exposed(self, tumour: Tumour) -> float:
        """Share of a lesion's ellipsoid that lies outside the liver, over directions spread evenly."""
        border = np.asarray(tumour.centre_mm) + _directions(DIRECTIONS) * tumour.radii_mm
        return float(np.mean(self.depth(border) < 0))


def draw_tumours(rng: np.random.Generator, placement: TumourPlacement, liver_t1_ms: float) -> tuple[Tumour, ...]:
    """0-8 lesions inside the liver, clear of each other; the largest are placed first.

    Args:
        rng: random numbers.
        placement: where they may lie.
        liver_t1_ms: of the parenchyma; a few lesions take up the agent as it does.
    """
    count = 0 if rng.random() < 0.08 else min(LESIONS, 1 + int(rng.poisson(rng.exponential(1.8))))
    largest = (6 / np.pi * LARGEST_SHARE * placement.depth.volume_mm3) ** (1 / 3)
    placed: list[Tumour] = []
    for diameter in sorted((_draw_diameter(rng) for _ in range(count)), reverse=True):
        radius = min(diameter, float(largest)) / 2
        places = placement.room(radius, placed)
        for _ in range(TRIES if len(places) else 0):
            centre = places[rng.integers(len(places))] + rng.uniform(-2, 2, 3)
            tumour = _draw_tumour(rng, centre, radius, liver_t1_ms)
            if placement.exposed(tumour) <= LARGEST_EXPOSED:
                placed.append(tumour)
                break
    return tuple(placed)


def _draw_diameter(rng: np.random.Generator) -> float:
    """Log-normal within the range in which tumours are annotated."""
    low, high = DIAMETER_RANGE_MM
    while True:
        diameter = float(MEDIAN_DIAMETER_MM * np.exp(rng.normal(0, DIAMETER_SPREAD)))
        if low <= diameter <= high:
            return diameter


def _draw_tumour(rng: np.random.Generator, centre: np.ndarray, radius_mm: float, liver_t1_ms: float) -> Tumour:
    radii = radius_mm * rng.uniform(0.85, 1.15, 3)
    lengths = tuple(radius_mm * w for w in (0.8, 1.1, 1.5, 2.0, 2.5, 3.5))
    waves = Waves.draw(rng, float(rng.uniform(0.03, 0.09)) * radius_mm, lengths)
    bright = rng.random() < BRIGHT_SHARE
    t1 = liver_t1_ms * float(rng.uniform(0.82, 1.2) if bright else rng.uniform(1.9, 3.2))
    return Tumour(_vector(centre), _vector(radii), waves, t1, Interior.draw(rng, radius_mm, t1, liver_t1_ms))


def _directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci's lattice)."""
    number = np.arange(count) + 0.5
    height, turn = 1 - 2 * number / count, np.pi * (1 + 5**0.5) * number
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(turn), width * np.sin(turn), height], axis=1)


def _nearest(places_mm: np.ndarray, marks_mm: np.ndarray) -> np.ndarray:
    """(N,) distance of each place (N, 3) from the nearest mark (K, 3)."""
    distance: np.ndarray = np.linalg.norm(places_mm[:, None] - marks_mm[None], axis=2).min(axis=1)
    return distance


def _vector(values: np.ndarray) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
