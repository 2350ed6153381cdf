"""Label maps under a deformation: every piece of a structure stays one piece, and thin ones keep their volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label, map_coordinates

from lldm_aug.geometry import Box
from lldm_aug.masks.diffeomorphism import Lattice, displacement_in
from lldm_aug.masks.measures import ANY_NEIGHBOUR
from lldm_aug.masks.reconnect import reconnect
from lldm_aug.volume import Volume

KEPT_VOLUME = 0.95
"""A piece that keeps less of its volume when each voxel takes its likeliest label counts as thin."""


@dataclass(frozen=True)
class _Piece:
    """One connected piece of a structure after the deformation.

    Args:
        value: its label.
        box: where it can be.
        share: how much of each voxel of the box it fills.
    """

    value: int
    box: Box
    share: np.ndarray


def warp_labels(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(X, Y, Z) int16: at each voxel the label that lies at its position plus the displacement.

    Each connected piece is interpolated linearly by itself and each voxel takes the likeliest. A thin piece (a vessel
    of a voxel or two) then takes the voxels that it fills most, until it has its volume; what came apart is joined.

    Args:
        mask: (X, Y, Z) integer labels.
        displacement: (3, A, B, C) in mm on the lattice, as from `flow`.
        lattice: lies over the mask's grid.
    """
    pieces = list(_warped_pieces(mask, displacement, lattice))
    owner = _likeliest(pieces, mask.grid.shape)
    by_size = sorted(range(len(pieces)), key=lambda i: -float(pieces[i].share.sum()))
    for i in by_size:  # the smallest last: they are the easiest to lose
        _restore(owner[pieces[i].box], i + 1, pieces[i])
    for i in by_size:
        _drop_crumbs(owner, i + 1, pieces)
    values = np.array([0, *(p.value for p in pieces)], dtype=np.int16)
    warped: np.ndarray = values[owner]
    return warped


def _warped_pieces(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> Iterator[_Piece]:
    for value in np.unique(mask.data[mask.data > 0]).tolist():
        numbers, _ = label(mask.data == value, ANY_NEIGHBOUR)
        for number, tight in enumerate(find_objects(numbers), start=1):
            box = _within_reach(tight, mask, displacement)
            moved = displacement_in(displacement, lattice, mask.grid.shape, box)
            moved /= np.asarray(mask.grid.spacing_mm, dtype=np.float32).reshape(3, 1, 1, 1)
            for axis, index in enumerate(np.ogrid[tuple(slice(s.stop - s.start) for s in box)]):
                moved[axis] += index
            inside = (numbers[box] == number).astype(np.float32)
            yield _Piece(value, box, map_coordinates(inside, moved, order=1, mode="nearest"))


def _within_reach(tight: tuple[slice, ...], mask: Volume, displacement: np.ndarray) -> Box:
    """A box that holds all that a box can move to, and one voxel more."""
    reach = np.ceil(np.abs(displacement).max(axis=(1, 2, 3)) / mask.grid.spacing_mm).astype(int) + 2
    sides = zip(tight, reach.tolist(), mask.grid.shape, strict=True)
    x, y, z = (slice(max(0, s.start - r), min(n, s.stop + r)) for s, r, n in sides)
    return x, y, z


def _likeliest(pieces: list[_Piece], shape: tuple[int, int, int]) -> np.ndarray:
    """(X, Y, Z) number (from 1) of the piece that fills most of each voxel; 0 where the background does."""
    owner = np.zeros(shape, dtype=np.int32)
    best = np.zeros(shape, dtype=np.float32)
    filled = np.zeros(shape, dtype=np.float32)
    for number, piece in enumerate(pieces, start=1):
        larger = piece.share > best[piece.box]
        best[piece.box][larger] = piece.share[larger]
        owner[piece.box][larger] = number
        filled[piece.box] += piece.share
    owner[1 - filled > best] = 0
    return owner


def _restore(part: np.ndarray, number: int, piece: _Piece) -> None:
    """Gives a thin piece its volume back, and joins what came apart."""
    structure = part == number
    wanted = max(1, round(float(piece.share.sum())))
    if np.count_nonzero(structure) < KEPT_VOLUME * wanted:
        structure.ravel()[np.argsort(-piece.share, axis=None, kind="stable")[:wanted]] = True
    part[reconnect(structure, piece.share)] = number


def _drop_crumbs(owner: np.ndarray, number: int, pieces: list[_Piece]) -> None:
    """What others have cut off from a piece goes to those that fill it next most."""
    piece = pieces[number - 1]
    parts, count = label(owner[piece.box] == number, ANY_NEIGHBOUR)
    if count < 2:
        return
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    start = np.array([s.start for s in piece.box])
    for voxel in np.argwhere((parts > 0) & (parts != largest)) + start:
        shares = [_share_at(p, voxel) for p in pieces]
        shares[number - 1] = 0
        owner[tuple(voxel)] = 1 + int(np.argmax(shares)) if max(shares) > 0 else 0


def _share_at(piece: _Piece, voxel: np.ndarray) -> float:
    if not all(s.start <= i < s.stop for s, i in zip(piece.box, voxel, strict=True)):
        return 0.0
    return float(piece.share[tuple(int(i) - s.start for s, i in zip(piece.box, voxel, strict=True))])
