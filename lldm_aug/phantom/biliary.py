"""Bile ducts: beside the first branches of the portal vein, and down to the duodenum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.tree import VesselTree
from lldm_aug.phantom.tube import Tube

GAP_MM = 0.6
LARGE_VEIN = 0.55
"""Ducts accompany portal branches down to this share of the trunk's radius."""


@dataclass(frozen=True)
class Ducts:
    """Bile ducts filled with agent.

    Args:
        common: from the hilum to the duodenum.
        hepatic: ducts inside the liver.
    """

    common: Tube
    hepatic: tuple[Tube, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, portal: VesselTree) -> Ducts:
        """Ducts in front of this portal vein's main branches."""
        radius = float(rng.uniform(1.5, 2.3))
        aside = np.array([rng.uniform(0.2, 0.6), rng.uniform(0.5, 1.0), rng.uniform(0.2, 0.7)])
        aside /= np.linalg.norm(aside)
        trunk = portal.radii_mm[0] if portal.radii_mm[0] > 0 else portal.radii_mm.max()
        hepatic = tuple(_beside(portal, node, aside, radius) for node in _large(portal, LARGE_VEIN * float(trunk)))
        start = portal.points_mm[0] + aside * (trunk + 1.3 * radius + GAP_MM)
        course = np.array([start, start + np.array([4, -2, -14]), [26, 18, -52], [27, 6, -70], [33, 2, -82]])
        return cls(Tube.through(course, np.full(5, radius * float(rng.uniform(1.2, 1.7)))), hepatic)


def _large(portal: VesselTree, least_mm: float) -> np.ndarray:
    """Nodes whose segments are at least this wide."""
    return 1 + np.flatnonzero(portal.radii_mm[1:] >= least_mm)


def _beside(portal: VesselTree, node: int, aside: np.ndarray, radius_mm: float) -> Tube:
    """A duct along one segment, outside its wall; thinner along thinner veins."""
    ends = np.array([portal.points_mm[portal.parents[node]], portal.points_mm[node]])
    vein = float(portal.radii_mm[node])
    thickness = radius_mm * min(1.0, (vein / float(portal.radii_mm.max())) ** 0.5)
    return Tube(ends + aside * (vein + thickness + GAP_MM), np.full(2, thickness))
