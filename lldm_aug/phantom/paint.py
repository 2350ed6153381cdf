"""From anatomy in millimetres to tissues on a grid."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from lldm_aug.phantom.anatomy import Anatomy
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.tissues import Tissue
from lldm_aug.phantom.tree import VesselTree


def tissue_map(anatomy: Anatomy, frame: Frame) -> np.ndarray:
    """(X, Y, Z) uint8 of `Tissue` at the voxels' centres; later parts cover earlier ones."""
    tissues = np.zeros(frame.grid.shape, dtype=np.uint8)
    _paint_trunk(tissues, anatomy, frame)
    _paint_organs(tissues, anatomy, frame)
    paint_liver(tissues, anatomy, frame)
    return tissues


def paint_liver(tissues: np.ndarray, anatomy: Anatomy, frame: Frame) -> None:
    """Paints liver, vessels and tumours over what is there."""
    slices, sub = frame.crop(*anatomy.liver_box_mm)
    part = tissues[slices]
    part[_largest_piece(np.broadcast_to(anatomy.liver(*sub.positions()) < 0, part.shape))] = Tissue.LIVER
    _paint_tree(tissues, frame, anatomy.vessels.hepatic, Tissue.HEPATIC_VEIN)
    _paint_tree(tissues, frame, anatomy.vessels.portal, Tissue.PORTAL_VEIN)
    for number, tumour in enumerate(anatomy.tumours):
        centre = np.asarray(tumour.centre_mm)
        slices, sub = frame.crop(centre - tumour.reach_mm, centre + tumour.reach_mm)
        part = tissues[slices]
        part[(tumour(*sub.positions()) < 0) & (part == Tissue.LIVER)] = Tissue.TUMOUR + number
        _mark(tissues, frame.nearest(centre[None]), Tissue.TUMOUR + number)  # never lost between voxel centres


def _paint_trunk(tissues: np.ndarray, anatomy: Anatomy, frame: Frame) -> None:
    body = anatomy.body
    x, y, _ = frame.positions()
    for surface, tissue in (
        (body.skin(x, y), Tissue.SKIN_FAT),
        (body.muscle(x, y), Tissue.MUSCLE),
        (body.cavity(x, y), Tissue.INNER_FAT),
    ):
        tissues[np.broadcast_to(surface < 0, tissues.shape)] = tissue
    slices, sub = frame.crop(np.array([-160.0, -130.0, 10.0]), np.array([160.0, 130.0, 140.0]))
    _paint_lung(tissues[slices], anatomy, sub)
    for surface, tissue in (
        (body.back(x, y), Tissue.MUSCLE),
        (body.vertebra(x, y), Tissue.BONE),
        (body.canal(x, y), Tissue.FLUID),
    ):
        tissues[np.broadcast_to(surface < 0, tissues.shape)] = tissue


def _paint_lung(part: np.ndarray, anatomy: Anatomy, frame: Frame) -> None:
    x, y, z = frame.positions()
    below = np.minimum(anatomy.liver.raw(x, y, z), anatomy.surroundings.left_dome(x, y, z)) < 5
    part[(part == Tissue.INNER_FAT) & ~below & (z > 10)] = Tissue.LUNG


def _paint_organs(tissues: np.ndarray, anatomy: Anatomy, frame: Frame) -> None:
    organs, body = anatomy.surroundings, anatomy.body
    slices, sub = frame.crop(np.array([-160.0, -60.0, -140.0]), np.array([160.0, 130.0, 30.0]))
    part = tissues[slices]
    part[(part == Tissue.INNER_FAT) & (organs.bowel(*sub.positions()) > 0.35)] = Tissue.BOWEL
    for organ, tissue in (
        (organs.heart, Tissue.HEART),
        (organs.stomach, Tissue.STOMACH),
        (organs.left_kidney, Tissue.KIDNEY),
        (organs.right_kidney, Tissue.KIDNEY),
        (organs.spleen, Tissue.SPLEEN),
        (organs.gallbladder, Tissue.GALLBLADDER),
    ):
        slices, sub = frame.crop(*organ.box_mm)
        part = tissues[slices]
        part[(organ(*sub.positions()) < 0) & (part > Tissue.MUSCLE)] = tissue
    x, y, _ = frame.positions()
    vessels = np.minimum(body.aorta(x, y), body.cava(x, y)) < 0
    tissues[np.broadcast_to(vessels, tissues.shape)] = Tissue.BLOOD
    hilum, radius = anatomy.vessels.portal.points_mm[0], float(anatomy.vessels.portal.radii_mm[0])
    _paint_capsule(tissues, frame, (hilum, np.array([-2.0, body.spine_y_mm + 48, hilum[2] - 45])), radius, Tissue.BLOOD)


def _paint_tree(tissues: np.ndarray, frame: Frame, tree: VesselTree, tissue: Tissue) -> None:
    """Capsules of their own radius, and each voxel that a centreline passes, so that thin branches stay connected."""
    for node in range(1, len(tree.parents)):
        start, end = tree.points_mm[tree.parents[node]], tree.points_mm[node]
        radius = float(tree.radii_mm[node])
        _paint_capsule(tissues, frame, (start, end), radius, tissue, over=Tissue.LIVER)
        steps = np.linspace(0, 1, 2 + int(8 * np.linalg.norm(end - start) / min(frame.grid.spacing_mm)))[:, None]
        _mark(tissues, _face_to_face(frame.nearest(start + steps * (end - start))), tissue)


def _paint_capsule(
    tissues: np.ndarray,
    frame: Frame,
    ends: tuple[np.ndarray, np.ndarray],
    radius: float,
    tissue: Tissue,
    over: Tissue | None = None,
) -> None:
    """Paints what is nearer than the radius to the segment between the ends: all of it, or only over one tissue."""
    slices, sub = frame.crop(np.minimum(*ends) - radius, np.maximum(*ends) + radius)
    part, near = tissues[slices], _within(sub, *ends, radius)
    part[near if over is None else near & (part == over)] = tissue


def _within(frame: Frame, start: np.ndarray, end: np.ndarray, radius: float) -> np.ndarray:
    """Voxels nearer than the radius to the segment from start to end."""
    x, y, z = (axis - np.float32(s) for axis, s in zip(frame.positions(), start, strict=True))
    dx, dy, dz = (end - start).astype(np.float32)
    along = np.clip((x * dx + y * dy + z * dz) / max(float(dx * dx + dy * dy + dz * dz), 1e-6), 0, 1)
    near: np.ndarray = (x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2 < radius * radius
    return near


def _largest_piece(inside: np.ndarray) -> np.ndarray:
    """The liver without slivers that its neighbours cut off."""
    pieces, count = label(inside)
    if count < 2:
        return inside
    largest: np.ndarray = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest


def _face_to_face(way: np.ndarray) -> np.ndarray:
    """A way through voxels (K, 3), with those added that turn a step over an edge or corner into steps over faces."""
    before, after = way[:-1], way[1:]
    adjacent = np.abs(after - before).max(axis=1, initial=0) <= 1
    one = np.where([True, False, False], after, before)[adjacent]
    two = np.where([True, True, False], after, before)[adjacent]
    return np.concatenate([way, one, two])


def _mark(tissues: np.ndarray, voxels: np.ndarray, tissue: int) -> None:
    i, j, k = voxels.T
    liver = tissues[i, j, k] == Tissue.LIVER
    tissues[i[liver], j[liver], k[liver]] = tissue
