"""The organs beside the liver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.body import Body, Organ, Ribs, Spine
from lldm_aug.phantom.bowel import SMALL_BOWEL, Gut, draw_guts, draw_mesentery, draw_pancreas
from lldm_aug.phantom.organs import Gallbladder, Kidney, Spleen, Stomach
from lldm_aug.phantom.tube import Tube


@dataclass(frozen=True)
class Surroundings:
    """Neighbours of the liver, and the left dome of the diaphragm."""

    ribs: Ribs
    spine: Spine
    right_kidney: Kidney
    left_kidney: Kidney
    spleen: Spleen
    stomach: Stomach
    gallbladder: Gallbladder
    heart: Organ
    left_dome: Organ
    guts: tuple[Gut, ...]
    mesentery: tuple[Tube, ...]
    pancreas: Tube
    muscles: tuple[Tube, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, spleen_size: float) -> Surroundings:
        """Organs placed in this body, with a spleen of this size relative to the usual one."""
        wide, back = body.half_width_mm - body.fat_mm - body.wall_mm, body.spine_y_mm
        s, filled = spleen_size, float(rng.uniform(0.72, 1.04))
        guts = draw_guts(rng, body)
        fundus = Organ.draw(rng, (-54 + 8 * filled, 10, 18), (37 * filled, 38 * filled, 44))
        return cls(
            ribs=Ribs.draw(rng, body),
            spine=Spine.draw(rng, body),
            right_kidney=Kidney.draw(rng, Organ.draw(rng, (56, back + 12, -84), (26, 24, 50))),
            left_kidney=Kidney.draw(rng, Organ.draw(rng, (-60, back + 10, -54), (26, 24, 52))),
            spleen=Spleen.of_size(
                Organ.draw(rng, (-wide + 24 * s, back + 26, 24 - 16 * (s - 1)), (25 * s, 42 * s, 46 * s))
            ),
            stomach=Stomach.draw(rng, fundus, Organ.draw(rng, (-14, 42, -34), (36, 20, 20))),
            gallbladder=Gallbladder.draw(rng, Organ.draw(rng, (42, 44, -48), (13, 20, 28))),
            heart=Organ.draw(rng, (-28, 35, 106), (58, 42, 40)),
            left_dome=Organ.draw(rng, (-58, 0, -8), (84, 96, 84)),
            guts=guts,
            mesentery=draw_mesentery(rng, body, guts[SMALL_BOWEL].tube),
            pancreas=draw_pancreas(rng, body),
            muscles=_muscles(body),
        )


def _muscles(body: Body) -> tuple[Tube, ...]:
    """Psoas and crura of the diaphragm on either side."""
    back, muscles = body.spine_y_mm, []
    for side in (-1, 1):
        psoas = np.array([[24 * side, back + 2, -25], [29 * side, back + 4, -70], [38 * side, back + 10, -125]])
        crus = np.array([[9 * side - 2, back + 38, 45], [17 * side, back + 25, 0], [18 * side, back + 12, -60]])
        muscles += [Tube.through(psoas, np.array([4.0, 13.0, 19.0])), Tube.through(crus, np.array([4.0, 5.0, 3.0]))]
    return tuple(muscles)
