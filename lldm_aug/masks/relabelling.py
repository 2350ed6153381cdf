"""From the labels of one schema to those of another that lacks some of its structures, or has more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.limits import LIVER, Limits
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.distance import parts_of_liver
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, judged
from lldm_aug.masks.source import DrawnMask, MaskSource
from lldm_aug.volume import Volume


@dataclass(frozen=True)
class Relabelling:
    """Gives each structure, by its name, the integer of another schema.

    A structure that the target lacks becomes what lies around it: liver for its vessels and lesions, if the target has
    a liver, else background.

    Args:
        source: what integers stand for before.
        target: what they stand for after.
    """

    source: LabelSchema
    target: LabelSchema

    @property
    def left_out(self) -> tuple[str, ...]:
        """Structures of the source that the target lacks."""
        return tuple(name for name in self.source.names if name not in self.target.names)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Structures of the target of which the source says nothing."""
        return Relabelling(self.target, self.source).left_out

    def apply(self, label: np.ndarray) -> np.ndarray:
        """(X, Y, Z) integers of the source to int16 ones of the target; ignored voxels stay so if the target can."""
        around = dict.fromkeys(parts_of_liver(self.source), self.target.values.get(LIVER, 0))
        table = np.zeros(len(self.source.names) + 2, dtype=np.int16)
        for name, value in self.source.values.items():
            table[value] = self.target.values.get(name, around.get(name, 0))
        if self.source.ignore is not None:
            table[self.source.ignore] = self.target.ignore or 0
        relabelled: np.ndarray = table[label]
        return relabelled


class ReducedMasks:
    """The masks of another source in a schema that may lack some of its structures (see `Relabelling`).

    Args:
        source: draws the masks.
        schema: the structures that stay.
    """

    def __init__(self, source: MaskSource, schema: LabelSchema) -> None:
        self.kind = source.kind
        self.schema = schema
        self.source = source
        self.relabelling = Relabelling(source.schema, schema)

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """The other source's mask, relabelled; it was anatomically valid when it was whole.

        Raises:
            LabelError: as the other source does.
        """

        def relabel_and_fit(mask: Volume, _schema: LabelSchema, limits: Limits | None) -> tuple[Fitted, list[str]]:
            reduced = Volume(self.relabelling.apply(mask.data), mask.grid)
            fitted, problems = fit(reduced, self.schema, limits)
            if problems and judged(reduced.data, reduced.data, self.schema, limits):
                problems = []  # what stays may be less than a whole mask has to have, such as one vein of two
            return fitted, problems

        return self.source.draw(index, seed, relabel_and_fit)
