"""From anatomy in millimetres to tissues on a grid; later parts cover earlier ones."""

from __future__ import annotations

import numpy as np

from lldm_aug.phantom.anatomy import Anatomy
from lldm_aug.phantom.brush import Brush
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.paint_liver import paint_liver
from lldm_aug.phantom.paint_trunk import paint_trunk
from lldm_aug.phantom.tissues import Tissue

__all__ = ["paint_liver", "tissue_map"]

CAVITY = (Tissue.INNER_FAT,)
SOFT = (Tissue.INNER_FAT, Tissue.LUNG, Tissue.BOWEL, Tissue.BOWEL_CONTENT, Tissue.BOWEL_AGENT, Tissue.GAS)
HIGHEST_ASCITES_MM = 60.0


def tissue_map(anatomy: Anatomy, frame: Frame) -> np.ndarray:
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


def _paint_guts(brush: Brush, anatomy: Anatomy) -> None:
    for gut in anatomy.surroundings.guts:
        brush.tube(gut.tube, Tissue.BOWEL, (Tissue.INNER_FAT, Tissue.LUNG))
        for lumen, tissue in gut.filling:
            brush.tube(lumen, tissue, (Tissue.BOWEL,))
    for strand in anatomy.surroundings.mesentery:
        brush.tube(strand, Tissue.BLOOD, CAVITY)
    brush.tube(anatomy.surroundings.pancreas, Tissue.PANCREAS, (Tissue.INNER_FAT,))
    for muscle in anatomy.surroundings.muscles:
        brush.tube(muscle, Tissue.MUSCLE, CAVITY)


def _paint_organs(brush: Brush, anatomy: Anatomy) -> None:
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


def _paint_great_vessels(brush: Brush, anatomy: Anatomy) -> None:
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


def _paint_ascites(brush: Brush, anatomy: Anatomy) -> None:
    """Fluid around the liver where cirrhosis has left some."""
    thickness = np.float32(anatomy.liver.cirrhosis.ascites_mm)
    if thickness > 0:
        low, high = anatomy.liver_box_mm
        box = (low - thickness, np.minimum(high + thickness, [np.inf, np.inf, HIGHEST_ASCITES_MM]))
        brush.surface(lambda x, y, z: anatomy.liver(x, y, z) - thickness, box, Tissue.ASCITES, CAVITY)
