"""Vessels as trees: how many pieces they are in, and whether a segmentation follows their course."""

from __future__ import annotations

import numpy as np

from lldm_aug.anatomy.limits import VESSELS
from lldm_aug.anatomy.measures import SPECK_VOXELS, piece_sizes
from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record


class Tree(Record):
    """One vessel of one case.

    Args:
        pieces: connected pieces (neighbours by face, edge or corner), specks of fewer than 4 voxels left out.
        largest: share of its voxels in the largest piece.
    """

    pieces: int
    largest: float


def vessels_of(schema: LabelSchema) -> tuple[str, ...]:
    """The vessels among the structures of a schema."""
    return tuple(name for name in schema.names if name in VESSELS)


def trees(label: np.ndarray, schema: LabelSchema) -> dict[str, Tree]:
    """The vessels that a mask (X, Y, Z) shows."""
    sizes = {name: piece_sizes(label == schema.value(name)) for name in vessels_of(schema)}
    return {
        name: Tree(pieces=int((found >= SPECK_VOXELS).sum()), largest=float(found[0] / found.sum()))
        for name, found in sizes.items()
        if len(found)
    }
