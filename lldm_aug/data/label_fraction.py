"""The few-label situation: a share of a fold's training cases is labelled; the rest are images alone, or left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from lldm_aug.data.patients import by_patient
from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

Images = Literal["share", "fold"]


class LabelFraction(Record):
    """Which of a fold's training cases may be used, and how.

    Args:
        fraction: of the training cases (of the patients, where they are known) that are labelled.
        seed: decides which; shares of one seed are nested, so that 10 % are part of 25 %.
        images: ``share`` leaves the other cases out; ``fold`` keeps their images, without their labels.
    """

    fraction: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    images: Images = "share"

    def labelled(self, train: tuple[str, ...], patients: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
        """Sorted ids of the labelled ones among the training cases of a fold; at least one."""
        groups = by_patient(train, patients)
        order = numpy_rng("labelled share", self.seed).permutation(len(groups))
        count = max(1, math.ceil(round(self.fraction * len(groups), 6)))
        return tuple(sorted(case for number in order[:count] for case in groups[number]))
