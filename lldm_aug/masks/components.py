"""Label maps from how much of each voxel every connected component fills, such that no component comes apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.anatomy.reconnect import reconnect
from lldm_aug.geometry import Box

KEPT_VOLUME = 0.95
"""A component is thin if it keeps less of its volume when each voxel takes its likeliest label."""


@dataclass(frozen=True)
class Component:
    """One connected component of a structure.

    Args:
        value: its label.
        box: where it can be.
        share: how much of each voxel of the box it fills.
    """

    value: int
    box: Box
    share: np.ndarray


def settle(components: list[Component], shape: tuple[int, int, int]) -> np.ndarray:
    """(X, Y, Z) int16 labels: each voxel takes the likeliest.

    A thin connected component (a vessel of a voxel or two) then takes the voxels that it fills most, until it has its
    volume; what came apart is joined, and crumbs that others have cut off go to those.

    Args:
        components: all of them.
        shape: of the label map.
    """
    owner = _likeliest(components, shape)
    by_size = sorted(range(len(components)), key=lambda i: -float(components[i].share.sum()))
    for i in by_size:  # the smallest last: they are the easiest to lose
        _restore(owner[components[i].box], i + 1, components[i])
    for i in by_size:
        _drop_crumbs(owner, i + 1, components)
    values = np.array([0, *(p.value for p in components)], dtype=np.int16)
    settled: np.ndarray = values[owner]
    return settled


def _likeliest(components: list[Component], shape: tuple[int, int, int]) -> np.ndarray:
    """(X, Y, Z) number (from 1) of the connected component that fills most of each voxel; 0 where the background
    does."""
    owner = np.zeros(shape, dtype=np.int32)
    best = np.zeros(shape, dtype=np.float32)
    filled = np.zeros(shape, dtype=np.float32)
    for number, component in enumerate(components, start=1):
        larger = component.share > best[component.box]
        best[component.box][larger] = component.share[larger]
        owner[component.box][larger] = number
        filled[component.box] += component.share
    owner[1 - filled > best] = 0
    return owner


def _restore(part: np.ndarray, number: int, component: Component) -> None:
    """Gives a thin connected component its volume back, and joins what came apart."""
    structure = part == number
    wanted = max(1, round(float(component.share.sum())))
    if np.count_nonzero(structure) < KEPT_VOLUME * wanted:
        structure.ravel()[np.argsort(-component.share, axis=None, kind="stable")[:wanted]] = True
    part[reconnect(structure, component.share)] = number


def _drop_crumbs(owner: np.ndarray, number: int, components: list[Component]) -> None:
    """Voxels that others have cut off from a component go to the component that fills them next most."""
    component = components[number - 1]
    parts, count = label(owner[component.box] == number, ANY_NEIGHBOUR)
    if count < 2:
        return
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    start = np.array([s.start for s in component.box])
    for voxel in np.argwhere((parts > 0) & (parts != largest)) + start:
        shares = [_share_at(p, voxel) for p in components]
        shares[number - 1] = 0
        owner[tuple(voxel)] = 1 + int(np.argmax(shares)) if max(shares) > 0 else 0


def _share_at(component: Component, voxel: np.ndarray) -> float:
    if not all(s.start <= i < s.stop for s, i in zip(component.box, voxel, strict=True)):
        return 0.0
    return float(component.share[tuple(int(i) - s.start for s, i in zip(component.box, voxel, strict=True))])
