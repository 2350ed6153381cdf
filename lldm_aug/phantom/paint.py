"""From anatomy in millimetres to tissues on a grid, trunk and liver; later parts cover earlier ones."""

from __future__ import annotations

import numpy as np

from lldm_aug.anatomy.measures import largest_component
from lldm_aug.phantom.anatomy import Person
from lldm_aug.phantom.body import RIB_MARROW_MM, RIB_MM
from lldm_aug.phantom.brush import Brush
from lldm_aug.phantom.frame import BodyFrame
from lldm_aug.phantom.tissues import Tissue
from lldm_aug.phantom.tree import VesselTree
from lldm_aug.phantom.tumours import Tumour

__all__ = ["paint_liver", "tissue_map"]

CAVITY = (Tissue.INNER_FAT,)
SOFT = (Tissue.INNER_FAT, Tissue.LUNG, Tissue.BOWEL, Tissue.BOWEL_CONTENT, Tissue.BOWEL_AGENT, Tissue.GAS)
HIGHEST_ASCITES_MM = 60.0


def tissue_map(anatomy: Person, frame: BodyFrame) -> np.ndarray:
    """(X, Y, Z) uint8 of `Tissue` at the voxels' centres."""
    tissues = np.zeros(frame.grid.shape, dtype=np.uint8)
    brush = Brush(tissues, frame)
    paint_trunk(brush, anatomy)
    _paint_guts(brush, anatomy)
    _paint_organs(brush, anatomy)
    _paint_great_vessels(brush, anatomy)
    _paint_ascites(brush, anatomy)
    paint_liver(tissues, anatomy, frame)
    brush.tube(anatomy.ducts.common, Tissue.BILE_DUCT, (*SOFT, Tissue.PANCREAS))
    return tissues


def _paint_guts(brush: Brush, anatomy: Person) -> None:
    for gut in anatomy.surroundings.guts:
        brush.tube(gut.tube, Tissue.BOWEL, (Tissue.INNER_FAT, Tissue.LUNG))
        for lumen, tissue in gut.filling:
            brush.tube(lumen, tissue, (Tissue.BOWEL,))
    for strand in anatomy.surroundings.mesentery:
        brush.tube(strand, Tissue.BLOOD, CAVITY)
    brush.tube(anatomy.surroundings.pancreas, Tissue.PANCREAS, (Tissue.INNER_FAT,))
    for muscle in anatomy.surroundings.muscles:
        brush.tube(muscle, Tissue.MUSCLE, CAVITY)


def _paint_organs(brush: Brush, anatomy: Person) -> None:
    organs = anatomy.surroundings
    heart, stomach, gallbladder = organs.heart, organs.stomach, organs.gallbladder
    brush.surface(heart, heart.box_mm, Tissue.MYOCARDIUM, SOFT)
    brush.surface(lambda x, y, z: heart(x, y, z) + 10, heart.box_mm, Tissue.HEART, (Tissue.MYOCARDIUM,))
    brush.surface(stomach, stomach.box_mm, Tissue.STOMACH, (*SOFT, Tissue.PANCREAS))
    brush.surface(stomach.lumen, stomach.box_mm, Tissue.STOMACH_FLUID, (Tissue.STOMACH,))
    brush.surface(stomach.gas, stomach.box_mm, Tissue.GAS, (Tissue.STOMACH_FLUID,))
    for kidney in (organs.left_kidney, organs.right_kidney):
        brush.surface(kidney, kidney.box_mm, Tissue.KIDNEY, SOFT)
        brush.surface(kidney.medulla, kidney.box_mm, Tissue.MEDULLA, (Tissue.KIDNEY,))
        brush.surface(kidney.pelvis, kidney.box_mm, Tissue.RENAL_PELVIS, SOFT)
    brush.surface(organs.spleen, organs.spleen.box_mm, Tissue.SPLEEN, (*SOFT, Tissue.STOMACH, Tissue.PANCREAS))
    outline = gallbladder.outline
    brush.surface(outline, outline.box_mm, Tissue.GALLBLADDER, SOFT)
    brush.surface(gallbladder.plain_bile, outline.box_mm, Tissue.GALLBLADDER_BILE, (Tissue.GALLBLADDER,))


def _paint_great_vessels(brush: Brush, anatomy: Person) -> None:
    """Aorta and vena cava from end to end; splenic and mesenteric veins to the portal vein's root."""
    body, portal = anatomy.body, anatomy.vessels.portal
    low, high = np.array([-40.0, body.spine_y_mm, -500.0]), np.array([60.0, body.spine_y_mm + 60, 500.0])
    everywhere = tuple(range(Tissue.SKIN_FAT, Tissue.TUMOUR))
    brush.surface(
        lambda x, y, z: np.minimum(body.aorta(x, y), body.cava(x, y)) + 0 * z, (low, high), Tissue.BLOOD, everywhere
    )
    root, radius = portal.points_mm[0], max(4.0, 0.85 * float(portal.radii_mm[0]))
    meeting = np.array([4.0, body.spine_y_mm + 58, root[2] - 32])
    hilum_of_spleen = np.array(anatomy.surroundings.spleen.outline.centre_mm) + np.array([14, 12, -12])
    soft = (*SOFT, Tissue.PANCREAS, Tissue.SPLEEN)
    for ends, thickness in (
        ((root, meeting), radius),
        ((meeting, meeting + np.array([-2, 2, -90])), 0.7 * radius),
        ((meeting, hilum_of_spleen), 0.6 * radius),
    ):
        brush.capsule(ends, thickness, Tissue.BLOOD, soft)


def _paint_ascites(brush: Brush, anatomy: Person) -> None:
    """Fluid around the liver where cirrhosis has left some."""
    thickness = np.float32(anatomy.liver.cirrhosis.ascites_mm)
    if thickness > 0:
        low, high = anatomy.liver_box_mm
        box = (low - thickness, np.minimum(high + thickness, [np.inf, np.inf, HIGHEST_ASCITES_MM]))
        brush.surface(lambda x, y, z: anatomy.liver(x, y, z) - thickness, box, Tissue.ASCITES, CAVITY)


LUNG_BASE_MM = 10.0
CORTEX_MM = 1.6


def paint_trunk(brush: Brush, anatomy: Person) -> None:
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


def _paint_ribs(brush: Brush, anatomy: Person) -> None:
    wall = brush.tissues == Tissue.MUSCLE
    x, y, _ = brush.frame.positions()
    wall &= anatomy.body.cavity(x, y) > -1
    distance = anatomy.surroundings.ribs(*brush.gather(wall))
    brush.tissues[wall] = np.select(
        [distance < RIB_MARROW_MM, distance < RIB_MM],
        [np.uint8(Tissue.BONE), np.uint8(Tissue.CORTICAL_BONE)],
        Tissue.MUSCLE,
    )


def _paint_lung(brush: Brush, anatomy: Person) -> None:
    x, y, z = brush.frame.positions()
    below = np.minimum(anatomy.liver.raw(x, y, z), anatomy.surroundings.left_dome(x, y, z)) < 5
    brush.tissues[(brush.tissues == Tissue.INNER_FAT) & ~below & (z > LUNG_BASE_MM)] = Tissue.LUNG


def _paint_spine(brush: Brush, anatomy: Person) -> None:
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


LIVER = (Tissue.LIVER,)


def paint_liver(tissues: np.ndarray, anatomy: Person, frame: BodyFrame) -> None:
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
