"""A branching vessel as data: nodes, parents, and radii by Murray's law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
