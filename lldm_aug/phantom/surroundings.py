"""The organs beside the liver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.body import Body, Organ
from lldm_aug.phantom.implicit import Waves


@dataclass(frozen=True)
class Surroundings:
    """Neighbours of the liver, and the left dome of the diaphragm; bowel lies where its waves are high."""

    right_kidney: Organ
    left_kidney: Organ
    spleen: Organ
    stomach: Organ
    gallbladder: Organ
    heart: Organ
    left_dome: Organ
    bowel: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body) -> Surroundings:
        """Organs placed in this body."""
        wide, back = body.half_width_mm - body.fat_mm - body.wall_mm, body.spine_y_mm
        return cls(
            right_kidney=Organ.draw(rng, (54, back + 12, -82), (26, 24, 48)),
            left_kidney=Organ.draw(rng, (-60, back + 10, -52), (26, 24, 50)),
            spleen=Organ.draw(rng, (-wide + 27, back + 28, 22), (23, 38, 48)),
            stomach=Organ.draw(rng, (-50, 16, 14), (36, 36, 44)),
            gallbladder=Organ.draw(rng, (42, 44, -48), (13, 20, 28)),
            heart=Organ.draw(rng, (-28, 35, 106), (58, 42, 40)),
            left_dome=Organ.draw(rng, (-58, 0, -8), (84, 96, 84)),
            bowel=Waves.draw(rng, 1.0, (38, 45, 52, 60, 70)),
        )
