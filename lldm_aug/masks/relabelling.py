"""From the labels of one schema to those of another that lacks some of its structures, or has more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.limits import LIVER
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.distance import parts_of_liver


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
