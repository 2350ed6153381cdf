"""A branching vessel as data: nodes, parents, and radii by Murray's law; and its growth.

Each new branch leaves the tree where its length plus the path from the root is shortest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lldm_aug.phantom.liver import LiverDepth
from lldm_aug.phantom.tumours import Tumour


@dataclass(frozen=True)
class VesselTree:
    """A rooted tree of straight vessel segments; the segment of node i runs from its parent to it.

    Args:
        points_mm: (N, 3); node 0 is the root.
        parents: (N,) index of each node's parent, smaller than its own; -1 for the root.
        radii_mm: (N,) radius of each node's segment.
    """

    points_mm: np.ndarray
    parents: np.ndarray
    radii_mm: np.ndarray

    @property
    def lengths_mm(self) -> np.ndarray:
        """(N,) length of each segment; 0 for the root."""
        return segment_lengths(self.points_mm, self.parents)

    @property
    def volume_mm3(self) -> float:
        """Volume of all segments as cylinders."""
        return float(np.sum(np.pi * self.radii_mm**2 * self.lengths_mm))

    def children(self) -> list[list[int]]:
        """Children of each node."""
        found: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents[1:], start=1):
            found[parent].append(node)
        return found


def segment_lengths(points_mm: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """(N,) distance of each node from its parent; 0 for the root."""
    lengths: np.ndarray = np.linalg.norm(points_mm - points_mm[np.maximum(parents, 0)], axis=1)
    return lengths


def murray_radii(parents: np.ndarray, leaf_radii_mm: np.ndarray) -> np.ndarray:
    """(N,) radii that obey Murray's law, r^3 = r1^3 + r2^3 at each branching, given those of the leaves.

    Args:
        parents: (N,) as in `VesselTree`.
        leaf_radii_mm: (N,) radius of each node, read at the leaves only.
    """
    is_leaf = np.ones(len(parents), dtype=bool)
    is_leaf[parents[1:]] = False
    cubes = np.where(is_leaf, leaf_radii_mm**3, 0.0)
    for node in range(len(parents) - 1, 0, -1):
        cubes[parents[node]] += cubes[node]
    return np.cbrt(cubes)


def without_subtrees(parents: np.ndarray, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts off nodes with all that hangs on them.

    Args:
        parents: (N,) as in `VesselTree`.
        removed: (N,) booleans; the root is never removed.

    Returns:
        (M,) indices of the nodes kept, and their (M,) parents in the new numbering.
    """
    gone = removed.copy()
    gone[0] = False
    for node in range(1, len(parents)):
        gone[node] |= gone[parents[node]]
    kept = np.flatnonzero(~gone)
    number = np.cumsum(~gone) - 1
    new_parents = np.where(parents[kept] < 0, -1, number[np.maximum(parents[kept], 0)])
    return kept, new_parents


STEP_MM = 6.0
PATH_WEIGHT = 0.45
"""Weight of the path from the root: 0 gives a minimal spanning tree, 1 a star around the root."""
CANDIDATES = 5
MAX_NODES = 4000


@dataclass(frozen=True)
class Room:
    """The space in which vessels may grow.

    Args:
        depth: the liver.
        margin_mm: least depth under the liver's surface.
        obstacles: what they must go around.
        clearance_mm: by how much.
    """

    depth: LiverDepth
    margin_mm: float
    obstacles: Sequence[Tumour]
    clearance_mm: float

    def free(self, points_mm: np.ndarray) -> np.ndarray:
        """(N,) whether vessels may pass points (N, 3)."""
        free: np.ndarray = self.depth(points_mm) > self.margin_mm
        x, y, z = points_mm.T
        for obstacle in self.obstacles:
            free &= obstacle(x, y, z) > self.clearance_mm
        return free


@dataclass
class GrowingTree:
    """A tree that is being grown in a free space, at a distance from other trees.

    Args:
        room: where it may grow.
        root_mm: (3,) its root.
        rng: for the curvature of branches.
    """

    room: Room
    root_mm: np.ndarray
    rng: np.random.Generator
    rivals: Sequence[GrowingTree] = ()
    size: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self._points = np.zeros((MAX_NODES, 3))
        self._points[0] = self.root_mm
        self._parents = np.full(MAX_NODES, -1)
        self._from_root = np.zeros(MAX_NODES)
        self._children = np.zeros(MAX_NODES, dtype=int)
        self._clearance = np.full(MAX_NODES, 6.0)

    @property
    def points_mm(self) -> np.ndarray:
        """(N, 3) nodes."""
        return self._points[: self.size]

    @property
    def parents(self) -> np.ndarray:
        """(N,) parents; -1 for the root."""
        return self._parents[: self.size]

    @property
    def clearance_mm(self) -> np.ndarray:
        """(N,) distance that rivals keep from each node, before their own."""
        return self._clearance[: self.size]

    def stem(self, end_mm: np.ndarray, clearance_mm: float) -> int:
        """Grows the first branch straight from the root, whether the space is free or not; returns its last node."""
        count = max(1, round(float(np.linalg.norm(end_mm - self.root_mm)) / STEP_MM))
        steps = np.arange(1, count + 1)[:, None] / count
        return self._append(0, self.root_mm + steps * (end_mm - self.root_mm), clearance_mm)

    def grow_from(self, node: int, target_mm: np.ndarray, clearance_mm: float) -> int:
        """Grows a branch from a node towards a target as far as the space is free; returns its last node."""
        path = self._path(node, target_mm)
        free = self._free(node, path, clearance_mm)
        length = len(path) if free.all() else int(np.argmin(free))
        return self._append(node, path[:length], clearance_mm)

    def grow(self, target_mm: np.ndarray, clearance_mm: float) -> bool:
        """Grows a branch to a target from the cheapest node that can reach it; returns whether there was one."""
        offsets = target_mm - self.points_mm
        distance = np.linalg.norm(offsets, axis=1)
        cost = distance + PATH_WEIGHT * self._from_root[: self.size]
        cost[(self._children[: self.size] > 1) | (distance < STEP_MM)] = np.inf
        cost[0] = np.inf
        backwards = np.sum(offsets * self._directions(), axis=1) < -0.1 * distance
        cost[backwards] = np.inf
        for node in np.argsort(cost)[:CANDIDATES]:
            if not np.isfinite(cost[node]):
                break
            path = self._path(int(node), target_mm)
            if self._free(int(node), path, clearance_mm).all():
                self._append(int(node), path, clearance_mm)
                return True
        return False

    def _directions(self) -> np.ndarray:
        steps = self.points_mm - self.points_mm[np.maximum(self.parents, 0)]
        directions: np.ndarray = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-6)
        return directions

    def _path(self, node: int, target_mm: np.ndarray) -> np.ndarray:
        """(K, 3) points of a curve that leaves the node half in its own direction (a quadratic Bezier curve)."""
        start = self._points[node]
        length = float(np.linalg.norm(target_mm - start))
        direction = self._directions()[node]
        bend = start + (0.3 * direction + self.rng.normal(0, 0.06, 3)) * length + 0.2 * (target_mm - start)
        t = np.linspace(0, 1, max(2, int(np.ceil(length / STEP_MM))) + 1)[1:, None]
        path: np.ndarray = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * target_mm
        return path

    def _free(self, node: int, path: np.ndarray, clearance_mm: float) -> np.ndarray:
        free = self.room.free(path)
        for rival in self.rivals:
            gaps = _distances(path, rival.points_mm) - rival.clearance_mm - clearance_mm
            free &= gaps.min(axis=1) > 0
        away = np.linalg.norm(path - self._points[node], axis=1)
        others = np.linalg.norm(self.points_mm - self._points[node], axis=1) > 2 * STEP_MM
        if others.any():
            own = _distances(path, self.points_mm[others]).min(axis=1)
            free &= (own > clearance_mm + 3) | (away < STEP_MM)
        return free

    def _append(self, node: int, path: np.ndarray, clearance_mm: float) -> int:
        for point in path[: MAX_NODES - self.size]:
            new = self.size
            self._points[new] = point
            self._parents[new] = node
            self._from_root[new] = self._from_root[node] + np.linalg.norm(point - self._points[node])
            self._children[node] += 1
            self._clearance[new] = clearance_mm
            self.size += 1
            node = new
        return node


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.linalg.norm(a[:, None] - b[None], axis=2)
    return distances
