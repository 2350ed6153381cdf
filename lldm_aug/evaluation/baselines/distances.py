"""How far each method's images lie from real ones, over the floor and beside ours, as means over planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.bootstrap import Interval, resamples
from lldm_aug.evaluation.feature_cache import CaseFeatures
from lldm_aug.evaluation.fidelity.resampled import MEASURES, RESAMPLES, centred, over, resampled, spread


@dataclass(frozen=True)
class Distances:
    """Of several sets to the same reference.

    Args:
        names: of the sets, ours first and the floor last.
        found: by measure, distances (1 + R, sets) and those of resamples around them.
    """

    names: tuple[str, ...]
    found: dict[str, np.ndarray]

    @classmethod
    def between(
        cls, sets: Mapping[str, Sequence[CaseFeatures]], reference: Sequence[CaseFeatures], seed: int
    ) -> Distances:
        """Of sets whose cases have the same masks, number by number: they are resampled together.

        Args:
            sets: features by name, ours first and the floor last.
            reference: of the cases to compare with.
            seed: of the resamples.
        """
        draws = [
            (*[masks] * len(sets), others)
            for masks, others in resamples((len(next(iter(sets.values()))), len(reference)), RESAMPLES, seed)
        ]
        every = (*sets.values(), reference)
        found = {}
        for measure in MEASURES:
            planes = [
                resampled(measure, [[case[plane] for case in cases] for cases in every], draws)
                for plane in sorted(reference[0])
            ]
            found[measure] = centred(np.mean(planes, axis=0))
        return cls(tuple(sets), found)

    def of(self, measure: str, name: str) -> Interval:
        """A set's distance."""
        return spread(self._column(measure, name))

    def over_floor(self, measure: str, name: str) -> Interval:
        """The same as a multiple of the floor."""
        return spread(over(self._column(measure, name), self._column(measure, self.names[-1])))

    def ours_over(self, measure: str, name: str) -> Interval:
        """Our distance as a multiple of a set's."""
        return spread(over(self._column(measure, self.names[0]), self._column(measure, name)))

    def _column(self, measure: str, name: str) -> np.ndarray:
        column: np.ndarray = self.found[measure][:, self.names.index(name)]
        return column
