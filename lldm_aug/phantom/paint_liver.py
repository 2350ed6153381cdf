"""The liver on a grid: parenchyma, veins, ducts, lesions."""

from __future__ import annotations

import numpy as np

from lldm_aug.anatomy.measures import largest_component
from lldm_aug.phantom.anatomy import Anatomy
from lldm_aug.phantom.brush import Brush
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.tissues import Tissue
from lldm_aug.phantom.tree import VesselTree
from lldm_aug.phantom.tumours import Tumour

LIVER = (Tissue.LIVER,)


def paint_liver(tissues: np.ndarray, anatomy: Anatomy, frame: Frame) -> None:
    """Paints liver, veins, lesions and ducts over what is there; all that has a label."""
    slices, sub = frame.crop(*anatomy.liver_box_mm)
    part = tissues[slices]
    inside = np.broadcast_to(anatomy.liver(*sub.positions()) < 0, part.shape)
    part[largest_component(inside)] = Tissue.LIVER  # without slivers that its neighbours cut off
    brush = Brush(tissues, frame)
    _paint_tree(brush, anatomy.vessels.hepatic, Tissue.HEPATIC_VEIN)
    _paint_tree(brush, anatomy.vessels.portal, Tissue.PORTAL_VEIN)
    for number, tumour in enumerate(anatomy.tumours):
        _paint_tumour(brush, tumour, number)
    for duct in anatomy.ducts.hepatic:
        brush.tube(duct, Tissue.LIVER_DUCT, LIVER)


def _paint_tumour(brush: Brush, tumour: Tumour, number: int) -> None:
    centre = np.asarray(tumour.centre_mm)
    slices, sub = brush.frame.crop(centre - tumour.reach_mm, centre + tumour.reach_mm)
    part, positions = brush.tissues[slices], sub.positions()
    border = tumour(*positions)
    inside = (border < 0) & (part == Tissue.LIVER)
    x, y, z = (np.broadcast_to(axis, part.shape)[inside] for axis in positions)
    part[inside] = tumour.interior.tissue(-border[inside], x, y, z) + number
    brush.voxels(brush.frame.nearest(centre[None]), Tissue.TUMOUR + number, LIVER)  # never lost between voxel centres


def _paint_tree(brush: Brush, tree: VesselTree, tissue: Tissue) -> None:
    """Capsules of their own radius, and each voxel that a centreline passes, so that thin branches stay connected."""
    for node in range(1, len(tree.parents)):
        start, end = tree.points_mm[tree.parents[node]], tree.points_mm[node]
        brush.capsule((start, end), float(tree.radii_mm[node]), tissue, LIVER)
        steps = np.linspace(0, 1, 2 + int(8 * np.linalg.norm(end - start) / min(brush.frame.grid.spacing_mm)))[:, None]
        brush.voxels(_face_to_face(brush.frame.nearest(start + steps * (end - start))), tissue, LIVER)


def _face_to_face(way: np.ndarray) -> np.ndarray:
    """A way through voxels (K, 3), with those added that turn a step over an edge or corner into steps over faces."""
    before, after = way[:-1], way[1:]
    adjacent = np.abs(after - before).max(axis=1, initial=0) <= 1
    one = np.where([True, False, False], after, before)[adjacent]
    two = np.where([True, True, False], after, before)[adjacent]
    return np.concatenate([way, one, two])
