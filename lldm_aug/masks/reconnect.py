"""Joins the parts of a thin structure again along the likeliest way between them."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import label
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from lldm_aug.masks.validity import ANY_NEIGHBOUR

LEAST_SHARE = 0.02
_HALF_OF_NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


def reconnect(structure: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Adds the voxels of least doubt that join a structure's parts to its largest.

    Args:
        structure: (X, Y, Z) booleans.
        share: (X, Y, Z) how much of each voxel the structure fills; ways lead over voxels with some share only.

    Returns:
        (X, Y, Z) booleans; parts that no way leads to stay apart.
    """
    parts, count = label(structure, ANY_NEIGHBOUR)
    if count < 2:
        return structure
    joined = structure.copy()
    passable = structure | (share > LEAST_SHARE)
    places = np.flatnonzero(passable)
    part = parts.ravel()[places]
    main = 1 + int(np.argmax(np.bincount(part)[1:]))
    graph = _graph(passable, np.where(structure, 1.0, share))
    cost, before, _ = dijkstra(
        graph, directed=False, indices=np.flatnonzero(part == main), min_only=True, return_predecessors=True
    )
    for number in range(1, count + 1):
        ends = np.flatnonzero(part == number)
        node = int(ends[np.argmin(cost[ends])])
        while number != main and np.isfinite(cost[node]) and part[node] != main:
            joined.ravel()[places[node]] = True
            node = int(before[node])
    return joined


def _graph(passable: np.ndarray, share: np.ndarray) -> csr_array:
    """Neighbouring passable voxels, with a cost that falls with their share."""
    index = np.full(passable.shape, -1)
    index[passable] = np.arange(np.count_nonzero(passable))
    rows, columns, costs = [], [], []
    for offset in _HALF_OF_NEIGHBOURS:
        here, there = _shifted(offset)
        both = passable[here] & passable[there]
        rows.append(index[here][both])
        columns.append(index[there][both])
        doubt = 2.02 - share[here][both] - share[there][both]
        costs.append(doubt * np.linalg.norm(offset))
    size = int(np.count_nonzero(passable))
    data = (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(coo_array(data, shape=(size, size)))


def _shifted(offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(0, -o), None if o <= 0 else -o) for o in offset)
    there = tuple(slice(max(0, o), None if o >= 0 else o) for o in offset)
    return here, there
