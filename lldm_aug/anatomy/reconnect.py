"""Joins the parts of a thin structure again along the likeliest way between them."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR

LEAST_SHARE = 0.02
REACH_VOXELS = 6
"""How far around a part the other end of a way is looked for."""
_HALF_OF_NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]


def reconnect(structure: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Adds the voxels of least doubt that join a structure's smaller parts to the others.

    Args:
        structure: (X, Y, Z) booleans.
        share: (X, Y, Z) how much of each voxel the structure fills; ways lead over voxels with some share only.

    Returns:
        (X, Y, Z) booleans; parts that no way leads to stay apart.
    """
    joined = structure.copy()
    parts, count = label(joined, ANY_NEIGHBOUR)
    before = count + 1
    while 1 < count < before:
        main = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        for number, tight in enumerate(find_objects(parts), start=1):
            if number != main:
                box = tuple(slice(max(0, s.start - REACH_VOXELS), s.stop + REACH_VOXELS) for s in tight)
                _join(joined[box], parts[box], share[box], number)
        before = count
        parts, count = label(joined, ANY_NEIGHBOUR)
    return joined


def _join(joined: np.ndarray, parts: np.ndarray, share: np.ndarray, number: int) -> None:
    """Adds the cheapest way from one part to any other in this box, if there is one."""
    passable = (parts > 0) | (share > LEAST_SHARE)
    places = np.flatnonzero(passable)
    part = parts.ravel()[places]
    starts, ends = np.flatnonzero(part == number), np.flatnonzero((part > 0) & (part != number))
    if not len(ends):
        return
    graph = _graph(passable, np.where(parts > 0, 1.0, share))
    cost, before, _ = dijkstra(graph, directed=False, indices=starts, min_only=True, return_predecessors=True)
    node = int(ends[np.argmin(cost[ends])])
    while np.isfinite(cost[node]) and part[node] != number:
        joined[np.unravel_index(places[node], joined.shape)] = True
        node = int(before[node])


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
