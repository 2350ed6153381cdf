"""The trunk on a grid: skin, wall with ribs, cavity, lungs, spine."""

from __future__ import annotations

import numpy as np

from lldm_aug.phantom.anatomy import Anatomy
from lldm_aug.phantom.bones import RIB_MARROW_MM, RIB_MM
from lldm_aug.phantom.brush import Brush
from lldm_aug.phantom.tissues import Tissue

LUNG_BASE_MM = 10.0
CORTEX_MM = 1.6


def paint_trunk(brush: Brush, anatomy: Anatomy) -> None:
    """Paints everything that is not an organ."""
    body, tissues = anatomy.body, brush.tissues
    x, y, _ = brush.frame.positions()
    _paint(brush, body.skin(x, y) < 0, Tissue.SKIN_FAT)
    _paint(brush, body.muscle(x, y) < 0, Tissue.MUSCLE)
    _paint_ribs(brush, anatomy)
    _paint(brush, body.cavity(x, y) < 0, Tissue.INNER_FAT)
    slices, sub = brush.frame.crop(np.array([-160.0, -130.0, LUNG_BASE_MM]), np.array([160.0, 130.0, 140.0]))
    _paint_lung(Brush(tissues[slices], sub), anatomy)
    _paint_spine(brush, anatomy)


def _paint(brush: Brush, inside: np.ndarray, tissue: Tissue) -> None:
    brush.tissues[np.broadcast_to(inside, brush.tissues.shape)] = tissue


def _paint_ribs(brush: Brush, anatomy: Anatomy) -> None:
    wall = brush.tissues == Tissue.MUSCLE
    x, y, _ = brush.frame.positions()
    wall &= anatomy.body.cavity(x, y) > -1
    distance = anatomy.surroundings.ribs(*brush.gather(wall))
    brush.tissues[wall] = np.select(
        [distance < RIB_MARROW_MM, distance < RIB_MM],
        [np.uint8(Tissue.BONE), np.uint8(Tissue.CORTICAL_BONE)],
        Tissue.MUSCLE,
    )


def _paint_lung(brush: Brush, anatomy: Anatomy) -> None:
    x, y, z = brush.frame.positions()
    below = np.minimum(anatomy.liver.raw(x, y, z), anatomy.surroundings.left_dome(x, y, z)) < 5
    brush.tissues[(brush.tissues == Tissue.INNER_FAT) & ~below & (z > LUNG_BASE_MM)] = Tissue.LUNG


def _paint_spine(brush: Brush, anatomy: Anatomy) -> None:
    body, spine = anatomy.body, anatomy.surroundings.spine
    low = np.array([-75.0, -anatomy.body.half_depth_mm + anatomy.body.fat_mm, -500.0])
    slices, sub = brush.frame.crop(low, np.array([75.0, body.spine_y_mm + 20, 500.0]))
    near = Brush(brush.tissues[slices], sub)
    x, y, z = sub.positions()
    _paint(near, body.back(x, y) < 0, Tissue.MUSCLE)
    _paint(near, spine.arch(x, y, z) < 0, Tissue.BONE)
    column, disc = spine.body(x, y), spine.in_disc(z)
    _paint(near, column < 0, Tissue.CORTICAL_BONE)
    _paint(near, (column < -CORTEX_MM) & ~disc, Tissue.BONE)
    _paint(near, (column < 0) & disc, Tissue.DISC)
    _paint(near, spine.canal(x, y) < 0, Tissue.FLUID)
    _paint(near, spine.cord(x, y, z) < 0, Tissue.CORD)
