"""A whole digital person, defined in millimetres and so the same on every grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.around_liver import PaintedSurroundings
from lldm_aug.phantom.body import Body
from lldm_aug.phantom.cirrhosis import Cirrhosis, Uptake
from lldm_aug.phantom.liver import LiverDepth, LiverShape, draw_liver, draw_volume_ml
from lldm_aug.phantom.tissues import LESION_DENSITY, LEVELS, PROPERTIES, Tissue
from lldm_aug.phantom.tumours import Tumour, TumourPlacement, draw_tumours
from lldm_aug.phantom.vessels import Ducts, Vessels, draw_vessels, main_landmarks_mm, roots_mm
from lldm_aug.seeds import numpy_rng


@dataclass(frozen=True)
class Person:
    """All parts of one phantom.

    Args:
        body, surroundings, liver, vessels, ducts, tumours: its shapes.
        liver_box_mm: opposite corners (3,) of a box around the liver.
    """

    body: Body
    surroundings: PaintedSurroundings
    liver: LiverShape
    vessels: Vessels
    ducts: Ducts
    tumours: tuple[Tumour, ...]
    liver_box_mm: tuple[np.ndarray, np.ndarray]

    @property
    def liver_t1_ms(self) -> float:
        """Relaxation time of the parenchyma after uptake."""
        return self.liver.cirrhosis.liver_t1_ms

    @property
    def uptake(self) -> Uptake | None:
        """Relative deviation of the parenchyma's signal from its mean at x, y, z; None where there is none."""
        return self.liver.cirrhosis.uptake


def draw_anatomy(seed: int) -> Person:
    """The person that a seed stands for."""
    shape, lesions, trees = (numpy_rng(seed, "phantom", part) for part in ("shape", "lesions", "vessels"))
    cirrhosis = Cirrhosis.draw(numpy_rng(seed, "phantom", "cirrhosis"))
    volume = draw_volume_ml(shape)
    body = Body.draw(shape, bulk=float(2.5 * np.log(volume / 1600) + shape.normal(0, 0.4)))
    surroundings = PaintedSurroundings.draw(shape, body, cirrhosis.spleen)
    liver = draw_liver(shape, body, surroundings, cirrhosis, volume)
    depth = LiverDepth(liver)
    placement = TumourPlacement(depth, roots_mm(liver), main_landmarks_mm(liver))
    tumours = draw_tumours(lesions, placement, cirrhosis.liver_t1_ms)
    vessels = draw_vessels(trees, liver, depth, tumours)
    while tumours and not vessels.are_whole:  # the largest lesion stands where the vessels' main branches must pass
        tumours = tumours[1:]
        vessels = draw_vessels(trees, liver, depth, tumours)
    ducts = Ducts.draw(numpy_rng(seed, "phantom", "ducts"), vessels.portal)
    return Person(body, surroundings, liver, vessels, ducts, tumours, depth.box_mm)


def tissue_t1(anatomy: Person) -> np.ndarray:
    """(LEVELS,) relaxation time in ms of each tissue of this person (blood and veins: `PROPERTIES`)."""
    t1 = np.full(LEVELS, 1000.0)
    for tissue, (time, _) in PROPERTIES.items():
        t1[tissue] = time
    t1[Tissue.LIVER] = anatomy.liver_t1_ms
    for number, tumour in enumerate(anatomy.tumours):
        inside = tumour.interior
        t1[Tissue.TUMOUR + number], t1[Tissue.NODULE + number] = tumour.t1_ms, inside.nodule_t1_ms
        t1[Tissue.NECROSIS + number], t1[Tissue.CAPSULE + number] = inside.necrosis_t1_ms, inside.capsule_t1_ms
    return t1


def tissue_density() -> np.ndarray:
    """(LEVELS,) relative proton density of each tissue."""
    density = np.full(LEVELS, LESION_DENSITY)
    density[: Tissue.TUMOUR] = [PROPERTIES[Tissue(code)][1] for code in range(Tissue.TUMOUR)]
    return density
