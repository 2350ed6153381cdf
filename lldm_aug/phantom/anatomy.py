"""A whole digital person, defined in millimetres and so the same on every grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.body import Body
from lldm_aug.phantom.implicit import Waves
from lldm_aug.phantom.liver import LiverDepth, LiverShape, draw_liver, draw_volume_ml
from lldm_aug.phantom.surroundings import Surroundings
from lldm_aug.phantom.tissues import LESION_DENSITY, LEVELS, PROPERTIES, Tissue
from lldm_aug.phantom.tumours import Tumour, draw_tumours
from lldm_aug.phantom.vessels import Vessels, draw_vessels, main_landmarks_mm
from lldm_aug.seeds import numpy_rng

LIVER_T1_RANGE_MS = (230.0, 390.0)


@dataclass(frozen=True)
class Anatomy:
    """All parts of one phantom.

    Args:
        body, surroundings, liver, vessels, tumours: its shapes.
        liver_box_mm: opposite corners (3,) of a box around the liver.
        liver_t1_ms: relaxation time of the parenchyma after uptake.
        uptake: relative signal of the parenchyma as a function of position (about 1), None where it is even.
    """

    body: Body
    surroundings: Surroundings
    liver: LiverShape
    vessels: Vessels
    tumours: tuple[Tumour, ...]
    liver_box_mm: tuple[np.ndarray, np.ndarray]
    liver_t1_ms: float
    uptake: Waves | None = None


def draw_anatomy(seed: int) -> Anatomy:
    """The person that a seed stands for."""
    shape, lesions, trees = (numpy_rng(seed, "phantom", part) for part in ("shape", "lesions", "vessels"))
    volume = draw_volume_ml(shape)
    body = Body.draw(shape, bulk=float(2.5 * np.log(volume / 1600) + shape.normal(0, 0.4)))
    surroundings = Surroundings.draw(shape, body)
    liver = draw_liver(shape, body, surroundings, volume)
    depth = LiverDepth(liver)
    liver_t1 = float(shape.uniform(*LIVER_T1_RANGE_MS))
    tumours = draw_tumours(lesions, depth, main_landmarks_mm(liver), liver_t1)
    vessels = draw_vessels(trees, liver, depth, tumours)
    return Anatomy(body, surroundings, liver, vessels, tumours, depth.box_mm, liver_t1)


def tissue_t1(anatomy: Anatomy) -> np.ndarray:
    """(LEVELS,) relaxation time in ms of each tissue of this person (blood and veins: `PROPERTIES`)."""
    t1 = np.full(LEVELS, 1000.0)
    for tissue, (time, _) in PROPERTIES.items():
        t1[tissue] = time
    t1[Tissue.LIVER] = anatomy.liver_t1_ms
    for number, tumour in enumerate(anatomy.tumours):
        for tissue in (Tissue.TUMOUR, Tissue.NODULE, Tissue.NECROSIS, Tissue.CAPSULE):
            t1[tissue + number] = tumour.t1_ms
    return t1


def tissue_density() -> np.ndarray:
    """(LEVELS,) relative proton density of each tissue."""
    density = np.full(LEVELS, LESION_DENSITY)
    density[: Tissue.TUMOUR] = [PROPERTIES[Tissue(code)][1] for code in range(Tissue.TUMOUR)]
    return density
