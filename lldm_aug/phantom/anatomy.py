"""A whole digital person, defined in millimetres and so the same on every grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.body import Body
from lldm_aug.phantom.liver import LiverDepth, LiverShape, draw_liver, draw_volume_ml
from lldm_aug.phantom.surroundings import Surroundings
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
    """

    body: Body
    surroundings: Surroundings
    liver: LiverShape
    vessels: Vessels
    tumours: tuple[Tumour, ...]
    liver_box_mm: tuple[np.ndarray, np.ndarray]
    liver_t1_ms: float


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
