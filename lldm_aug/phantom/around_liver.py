"""The organs beside the liver, oesophagus, bowel and pancreas as tubes among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Vector
from lldm_aug.phantom.body import Body, BodyOrgan, Ribs, Spine
from lldm_aug.phantom.brush import Tube
from lldm_aug.phantom.organs import Gallbladder, Kidney, Spleen, Stomach
from lldm_aug.phantom.tissues import Tissue

AGENT_SHARE = 0.6
SEGMENTS = 16
STRANDS = 16
SMALL_BOWEL = 2
"""Its place among the guts."""
LOOPS = ((-16, 46, -24), (-16, 22, -44), (48, 46, -72), (48, 22, -80), (48, 48, -98), (48, 20, -106), (48, 44, -124))
"""Rows of small bowel: how far right they reach, y and z."""


@dataclass(frozen=True)
class Gut:
    """A hollow tube with what fills it.

    Args:
        tube: its outer face.
        wall_mm: thickness of the wall.
        filling: stretches of the lumen with their tissue.
    """

    tube: Tube
    wall_mm: float
    filling: tuple[tuple[Tube, Tissue], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, tube: Tube, wall_mm: float, choices: dict[Tissue, float]) -> Gut:
        """A gut whose stretches are filled at random with these tissues (shares; what is left is collapsed)."""
        lumen = tube.narrowed(wall_mm)
        draws = rng.random(SEGMENTS)
        filling = []
        for number, draw in enumerate(draws):
            for tissue, below in zip(choices, np.cumsum(list(choices.values())), strict=True):
                if draw < below:
                    filling.append((lumen.part(number / SEGMENTS, (number + 1) / SEGMENTS), tissue))
                    break
        return cls(tube, wall_mm, tuple(filling))


def draw_guts(rng: np.random.Generator, body: Body) -> tuple[Gut, ...]:
    """Oesophagus, small bowel, colon and duodenum of this body, in the order in which they cover each other."""
    wide, deep, back = body.half_width_mm - body.fat_mm - body.wall_mm, body.half_depth_mm - 20, body.spine_y_mm
    oesophagus = [(-16, back + 44, 112), (-16, back + 46, 60), (-32, back + 56, 34)]
    duodenum = [(22, 36, -42), (36, 22, -54), (37, 4, -76), (24, -4, -95), (0, -2, -99), (-26, 6, -86)]
    colon = [
        (wide - 26, -10, -125), (wide - 28, 0, -95), (60, 34, -88), (20, deep - 34, -96), (-30, deep - 34, -84),
        (-70, 36, -52), (-wide + 26, 0, -34), (-wide + 24, -8, -75), (-wide + 24, -8, -125),
    ]  # fmt: skip
    agent = AGENT_SHARE if rng.random() < 0.7 else 0.0
    contents = {Tissue.BOWEL_CONTENT: 0.5, Tissue.GAS: 0.1, Tissue.BOWEL_AGENT: agent / 8}
    haustra = float(rng.uniform(0.9, 1.2))
    return (
        Gut.draw(rng, _tube(rng, oesophagus, 7.5, 2), 3.0, {Tissue.GAS: 0.2}),
        Gut.draw(rng, _waisted(_tube(rng, colon, 19 * haustra, 5)), 2.5, {Tissue.GAS: 0.5, Tissue.BOWEL_CONTENT: 0.4}),
        Gut.draw(rng, _tube(rng, _serpentine(rng), 11, 3), 2.5, contents),
        Gut.draw(rng, _tube(rng, duodenum, 12, 3), 3.0, {Tissue.BOWEL_AGENT: agent, Tissue.BOWEL_CONTENT: 0.3}),
    )


def draw_mesentery(rng: np.random.Generator, body: Body, bowel: Tube) -> tuple[Tube, ...]:
    """Vessels that fan out in the fat from the mesentery's root to the small bowel."""
    root = np.array([2, body.spine_y_mm + 56, -62])
    fan = []
    for end in bowel.points_mm[rng.permutation(len(bowel.points_mm))[:STRANDS]]:
        middle = (root + end) / 2 + rng.normal(0, 8, 3)
        fan.append(
            Tube.through(np.array([root, middle, end]), float(rng.uniform(1.0, 2.2)) * np.array([1.3, 1.0, 0.7]))
        )
    return tuple(fan)


def draw_pancreas(rng: np.random.Generator, body: Body) -> Tube:
    """The pancreas, from its head beside the duodenum to its tail at the spleen."""
    back = body.spine_y_mm
    course = [
        (22, back + 62, -74), (12, back + 70, -56), (-8, back + 70, -42), (-40, back + 54, -24), (-76, back + 38, -6),
    ]  # fmt: skip
    radii = np.array([13, 10, 8, 9, 7]) * rng.uniform(0.8, 1.15)
    return Tube.through(np.array(course) + rng.normal(0, 2.5, (5, 3)), radii)


def _tube(rng: np.random.Generator, course: Sequence[Vector], radius_mm: float, jitter_mm: float) -> Tube:
    points = np.array(course, dtype=float) + rng.normal(0, jitter_mm, (len(course), 3))
    return Tube.through(points, radius_mm * rng.uniform(0.8, 1.2, len(points)))


def _serpentine(rng: np.random.Generator) -> list[Vector]:
    """The course of small bowel: loops in the left upper quarter, then across the belly."""
    course = []
    for row, (right, y, z) in enumerate(LOOPS):
        xs = np.linspace(-88, right, 4 + right // 30)
        for step, x in enumerate(xs if row % 2 else xs[::-1]):
            swing = 11 if step % 2 else -11
            course.append((float(x), y + 0.6 * swing + rng.normal(0, 4), z + swing + rng.normal(0, 3)))
    return course


def _waisted(tube: Tube) -> Tube:
    """The colon's haustra: waists every 32 mm or so."""
    along = np.arange(len(tube.points_mm))
    return Tube(tube.points_mm, tube.radii_mm * (1 - 0.2 * np.cos(along * 0.8) ** 8))


@dataclass(frozen=True)
class PaintedSurroundings:
    """Neighbours of the liver, and the left dome of the diaphragm."""

    ribs: Ribs
    spine: Spine
    right_kidney: Kidney
    left_kidney: Kidney
    spleen: Spleen
    stomach: Stomach
    gallbladder: Gallbladder
    heart: BodyOrgan
    left_dome: BodyOrgan
    guts: tuple[Gut, ...]
    mesentery: tuple[Tube, ...]
    pancreas: Tube
    muscles: tuple[Tube, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, spleen_size: float) -> PaintedSurroundings:
        """Organs placed in this body, with a spleen of this size relative to the usual one."""
        wide, back = body.half_width_mm - body.fat_mm - body.wall_mm, body.spine_y_mm
        s, filled = spleen_size, float(rng.uniform(0.72, 1.04))
        guts = draw_guts(rng, body)
        fundus = BodyOrgan.draw(rng, (-54 + 8 * filled, 10, 18), (37 * filled, 38 * filled, 44))
        return cls(
            ribs=Ribs.draw(rng, body),
            spine=Spine.draw(rng, body),
            right_kidney=Kidney.draw(rng, BodyOrgan.draw(rng, (56, back + 12, -84), (26, 24, 50))),
            left_kidney=Kidney.draw(rng, BodyOrgan.draw(rng, (-60, back + 10, -54), (26, 24, 52))),
            spleen=Spleen.of_size(
                BodyOrgan.draw(rng, (-wide + 24 * s, back + 26, 24 - 16 * (s - 1)), (25 * s, 42 * s, 46 * s))
            ),
            stomach=Stomach.draw(rng, fundus, BodyOrgan.draw(rng, (-14, 42, -34), (36, 20, 20))),
            gallbladder=Gallbladder.draw(rng, BodyOrgan.draw(rng, (42, 44, -48), (13, 20, 28))),
            heart=BodyOrgan.draw(rng, (-28, 35, 106), (58, 42, 40)),
            left_dome=BodyOrgan.draw(rng, (-58, 0, -8), (84, 96, 84)),
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
