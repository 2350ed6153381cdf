"""Portal and hepatic veins of a liver: main branches by anatomy, the rest grown, radii by Murray's law.

Bile ducts lie beside the first branches of the portal vein, and lead down to the duodenum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.brush import Tube
from lldm_aug.phantom.liver import LiverDepth, LiverShape
from lldm_aug.phantom.tree import GrowingTree, Room, VesselTree, murray_radii, segment_lengths, without_subtrees
from lldm_aug.phantom.tumours import Tumour

MAIN_CLEARANCE_MM = 7.0
BRANCH_CLEARANCE_MM = 4.5
GAP_MM = 6.0
LEAF_RADIUS_RANGE_MM = (1.2, 2.6)
MM3_PER_BRANCH = 550.0
LEAST_LEAVES = 5
LEAST_SHARE = 0.22

Landmark = tuple[float, float, float]
HEPATIC_MAIN: tuple[tuple[Landmark, ...], ...] = (
    ((28, 2, -10), (62, 6, -38), (78, 12, -68)),
    ((4, 22, -8), (24, 42, -30), (38, 54, -62)),
    ((-14, 34, -2), (-38, 50, -8), (-62, 60, -12)),
)
"""Right, middle and left hepatic vein: landmarks in mm from the confluence."""
PORTAL_HILUM: Landmark = (2, 26, -66)
PORTAL_FORK: Landmark = (12, 26, -48)
PORTAL_RIGHT: Landmark = (36, 22, -46)
PORTAL_RIGHT_ENDS: tuple[Landmark, ...] = ((66, 44, -36), (72, -10, -56))
PORTAL_LEFT: tuple[Landmark, ...] = ((-8, 40, -38), (-22, 56, -28), (-50, 48, -26))


@dataclass(frozen=True)
class Vessels:
    """Both venous trees of a liver.

    Args:
        portal: rooted at the hilum.
        hepatic: rooted at the vena cava.
    """

    portal: VesselTree
    hepatic: VesselTree

    @property
    def are_whole(self) -> bool:
        """Whether both trees could grow: neither lacks its main branches."""
        volumes = [tree.volume_mm3 for tree in (self.portal, self.hepatic)]
        leaves = [sum(not c for c in tree.children()) for tree in (self.portal, self.hepatic)]
        return min(leaves) >= LEAST_LEAVES and min(volumes) > LEAST_SHARE * sum(volumes)


def draw_vessels(
    rng: np.random.Generator, liver: LiverShape, depth: LiverDepth, tumours: tuple[Tumour, ...]
) -> Vessels:
    """Grows both trees around the tumours; they fill a drawn share of the liver (median 3 %, about 40 : 60)."""
    room = Room(depth, 4.0, tumours, BRANCH_CLEARANCE_MM)
    hepatic, portal = _main_branches(rng, liver, room)
    volume = depth.volume_mm3 * float(np.clip(0.03 * np.exp(rng.normal(0, 0.35)), 0.012, 0.075))
    _fill(rng, depth, portal, hepatic, round(volume / MM3_PER_BRANCH))
    portal_share = float(np.clip(rng.normal(0.4, 0.05), 0.28, 0.52))
    return _calibrate(rng, portal, hepatic, volume * portal_share, volume * (1 - portal_share))


def hilum_mm(liver: LiverShape) -> np.ndarray:
    """(3,) where the portal vein enters the liver, before it is moved to the nearest free place."""
    return liver.place(*PORTAL_HILUM)


def roots_mm(liver: LiverShape) -> np.ndarray:
    """(K, 3) places of roots and first forks, which no tumour reaches."""
    return np.array([liver.place(*p) for p in (PORTAL_HILUM, PORTAL_FORK, (0.0, 0.0, 0.0))])


def main_landmarks_mm(liver: LiverShape) -> np.ndarray:
    """(K, 3) places of main branches, which small tumours leave to the vessels."""
    portal = (PORTAL_RIGHT, PORTAL_LEFT[0])
    return np.array([liver.place(*p) for p in portal + tuple(branch[0] for branch in HEPATIC_MAIN)])


def _main_branches(rng: np.random.Generator, liver: LiverShape, room: Room) -> tuple[GrowingTree, GrowingTree]:
    def spot(landmark: Landmark) -> np.ndarray:
        return liver.place(*landmark) + rng.normal(0, 2.5, 3)

    cava = np.array([*liver.body.cava_mm, liver.confluence_mm[2]])
    hepatic = GrowingTree(room, (liver.confluence_mm + cava) / 2, rng)
    trunk = hepatic.stem(liver.confluence_mm, MAIN_CLEARANCE_MM)
    right, middle, left = HEPATIC_MAIN
    fork = hepatic.grow_from(trunk, liver.confluence_mm + np.array([-3.0, 7.0, 1.0]), MAIN_CLEARANCE_MM)
    for start, branch in ((trunk, right), (fork, middle), (fork, left)):
        _follow(hepatic, start, [spot(p) for p in branch])
    root = hilum_mm(liver)
    portal = GrowingTree(room, _into(room, root, liver.place(*PORTAL_FORK)), rng, rivals=(hepatic,))
    hepatic.rivals = (portal,)
    fork = portal.stem(spot(PORTAL_FORK), MAIN_CLEARANCE_MM)
    right_fork = portal.grow_from(fork, spot(PORTAL_RIGHT), MAIN_CLEARANCE_MM)
    for end in PORTAL_RIGHT_ENDS:
        _follow(portal, right_fork, [spot(end)])
    _follow(portal, fork, [spot(p) for p in PORTAL_LEFT])
    return hepatic, portal


def _follow(tree: GrowingTree, node: int, targets: list[np.ndarray]) -> None:
    for target in targets:
        node = tree.grow_from(node, target, MAIN_CLEARANCE_MM)


def _into(room: Room, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The first free place on the path from one point to another (the last point if there is none)."""
    way = start + np.linspace(0, 1, 24)[:, None] * (end - start)
    free = room.free(way)
    point: np.ndarray = way[int(np.argmax(free))] if free.any() else end
    return point


def _fill(
    rng: np.random.Generator, depth: LiverDepth, portal: GrowingTree, hepatic: GrowingTree, branches: int
) -> None:
    """Grows side branches to targets all over the liver, in turns for the two trees, while there is free space."""
    candidates = depth.inside_mm[depth(depth.inside_mm) > 6]
    count = min(len(candidates), branches)
    targets = rng.permutation(candidates)[:count] + rng.uniform(-2, 2, (count, 3))
    for turn, target in enumerate(targets):
        (portal, hepatic)[turn % 2].grow(target, BRANCH_CLEARANCE_MM)


def _calibrate(
    rng: np.random.Generator, portal: GrowingTree, hepatic: GrowingTree, portal_mm3: float, hepatic_mm3: float
) -> Vessels:
    """Radii that give each tree its volume; where the trees come too close, the thinner branch is cut off."""
    points = [portal.points_mm, hepatic.points_mm]
    parents = [portal.parents, hepatic.parents]
    weights = [np.exp(rng.normal(0, 0.15, len(p))) for p in parents]
    volumes = (portal_mm3, hepatic_mm3)
    while True:
        trees = [_with_volume(*parts) for parts in zip(points, parents, weights, volumes, strict=True)]
        clashes = _clashes(trees[0], trees[1])
        if not any(c.any() for c in clashes):
            return Vessels(*trees)
        for i, clash in enumerate(clashes):
            kept, parents[i] = without_subtrees(parents[i], clash)
            points[i], weights[i] = points[i][kept], weights[i][kept]


def _with_volume(points_mm: np.ndarray, parents: np.ndarray, weights: np.ndarray, volume_mm3: float) -> VesselTree:
    unit = murray_radii(parents, weights)
    leaf = np.sqrt(volume_mm3 / np.sum(np.pi * unit**2 * segment_lengths(points_mm, parents)))
    return VesselTree(points_mm, parents, unit * float(np.clip(leaf, *LEAF_RADIUS_RANGE_MM)))


def _clashes(a: VesselTree, b: VesselTree) -> tuple[np.ndarray, np.ndarray]:
    """(N,) and (M,): nodes nearer to the other tree than `GAP_MM` from wall to wall, of which each is the thinner."""
    distance = np.linalg.norm(a.points_mm[:, None] - b.points_mm[None], axis=2)
    close = distance < a.radii_mm[:, None] + b.radii_mm[None] + GAP_MM
    a_thinner = a.radii_mm[:, None] <= b.radii_mm[None]
    in_a, in_b = (close & a_thinner).any(axis=1), (close & ~a_thinner).any(axis=0)
    in_a[0] = in_b[0] = False
    return in_a, in_b


DUCT_GAP_MM = 0.6
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
        start = portal.points_mm[0] + aside * (trunk + 1.3 * radius + DUCT_GAP_MM)
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
    return Tube(ends + aside * (vein + thickness + DUCT_GAP_MM), np.full(2, thickness))
