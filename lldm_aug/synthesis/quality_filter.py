"""The quality filter: a synthetic pair is kept only if it looks like the real cases and shows what its mask says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import background, measure_scale
from lldm_aug.data.structure_signal import CaseSignal, Range, RealSignal, case_signal
from lldm_aug.errors import CheckpointError
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.metrics.dice import dice
from lldm_aug.models.description import Description
from lldm_aug.pool.rejected import Reason
from lldm_aug.pool.writer import Inpainted
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter, check_segmenter
from lldm_aug.synthesis.region_filter import INVENTED_SHARE as REGION_INVENTED_SHARE
from lldm_aug.synthesis.region_filter import (
    NOISE_FACTOR,
    RIM_FACTOR,
    border_reasons,
    noise_reasons,
    segmentation_reasons,
)
from lldm_aug.synthesis.synthetic_case import SyntheticCase
from lldm_aug.volume import Volume

DICE_SHARE = 0.8
"""A structure has to reach this share of the 5th percentile of the evaluation segmenter's Dice on held-out real
cases."""
LARGE_SHARE = 0.005
"""A structure that takes more than this share of all labelled voxels is too large to be overlooked by an evaluation
segmenter."""
SEEN_SHARE = 0.25
"""A large structure has to reach this share of the evaluation segmenter's mean Dice, even if the 5th percentile asks
for less."""
INVENTED_SHARE = 0.02
"""A structure that the mask lacks may be seen in a volume of at most this share of all labelled voxels."""
RANGE_MARGIN = 0.5
"""Ranges of real cases are widened on either side by this share of their width: there are more cases than were seen."""
MEAN_MARGIN = 0.15
"""Mean intensities may at least leave the real range by this much (scaled intensities span about 2)."""
DEVIATION_FACTOR = 1.5
"""Standard deviations may be this many times smaller than the smallest real one, or larger than the largest."""
ZERO_MARGIN = 0.05
"""The share of exact zeros may at least leave the real range by this much."""


@dataclass(frozen=True)
class QualityFilter:
    """Judges pairs by an evaluation segmenter and by what the generator's training cases look like.

    A decoder that sees the mask can paint it, so that even images of pure noise score a fair Dice: that is why signal
    and background are asked about too.

    Args:
        segmenter: re-segments the images.
        description: of the generator, with its real cases' signal.
        real: that signal.
        schema: the structures of the masks; others that the generator knows are not judged.
    """

    segmenter: EvaluationSegmenter
    description: Description
    real: RealSignal
    schema: LabelSchema

    @classmethod
    def of(
        cls, description: Description, segmenter: EvaluationSegmenter, schema: LabelSchema | None = None
    ) -> QualityFilter:
        """The quality filter of a generator.

        Args:
            description: of the generator.
            segmenter: re-segments its images.
            schema: the structures of the masks; None for all of the generator's.

        Raises:
            LabelError: when the evaluation segmenter does not find the structures of the masks.
            CheckpointError: when the generator does not say what its training cases look like.
        """
        schema = schema or description.labels
        check_segmenter(segmenter, schema, description.num_channels)
        if description.real_signal is None:
            raise CheckpointError(
                "the generator does not say what its training cases look like",
                fix="run 'lldm-aug train controlnet' anew with this version, or generate without --filter",
            )
        return cls(segmenter, description, description.real_signal, schema)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what passes, besides the generator."""
        return {
            "segmenter": self.segmenter.hash,
            "dice_share": DICE_SHARE,
            "large_share": LARGE_SHARE,
            "seen_share": SEEN_SHARE,
            "invented_share": INVENTED_SHARE,
            "range_margin": RANGE_MARGIN,
            "mean_margin": MEAN_MARGIN,
            "deviation_factor": DEVIATION_FACTOR,
            "zero_margin": ZERO_MARGIN,
            "region_rim_factor": RIM_FACTOR,
            "region_noise_factor": NOISE_FACTOR,
            "region_invented_share": REGION_INVENTED_SHARE,
        }

    def judge(self, case: SyntheticCase) -> tuple[Reason, ...]:
        """Why a pair is rejected; nothing for one that is kept. Of an inpainted one only the region is judged."""
        found = self.segmenter.segment(case.image, case.grid)
        if case.inpainted is not None:
            return self._judge_region(case, case.inpainted, found)
        signal = self._signal(replace(case, label=np.where(self._left_open(found), 0, case.label)))
        return (*self._zeros(signal), *self._signals(signal), *self._segmentation(case, found))

    def _judge_region(self, case: SyntheticCase, inpainted: Inpainted, found: np.ndarray) -> tuple[Reason, ...]:
        region, host = inpainted.region, inpainted.host
        signal = self._signal(replace(case, label=np.where(region & ~self._left_open(found), case.label, 0)))
        labelled = max(int((case.label > 0).sum()), 1)
        shares = {name: int((case.label == value).sum()) / labelled for name, value in self.schema.values.items()}
        least = {name: self._least_dice(name, share) for name, share in shares.items()}
        seen = Relabelling(self.segmenter.schema, self.schema).apply(found)
        return (
            *self._means(signal),
            *segmentation_reasons(seen, case.label, region, self.schema, least),
            *border_reasons(case.image, case.label, host, region),
            *noise_reasons(case.image, case.label, host, region),
        )

    def _left_open(self, found: np.ndarray) -> np.ndarray:
        """(X, Y, Z) where the evaluation segmenter sees what the masks leave out, with a voxel around it that may hold
        a part of it.

        Their signal is not that of the structure that the masks show there.
        """
        unknown = Relabelling(self.schema, self.description.labels).unknown
        values = [value for name, value in self.segmenter.schema.values.items() if name in unknown]
        around: np.ndarray = binary_dilation(np.isin(found, values), ANY_NEIGHBOUR)
        return around

    def _signal(self, case: SyntheticCase) -> CaseSignal:
        """Measures a pair by the way that the real cases went: as it is written, scaled by its own percentiles."""
        description = self.description
        frame = Frame.around(Volume(case.label, case.grid), description.shape, description.spacing_mm)
        scale = description.common_scale or measure_scale(case.image, description.scaling)
        image = scale.apply(frame.image_in(case.image), description.intensity.limit)
        zeros = frame.share_in(background(case.image))
        return case_signal(image, frame.label_in(case.label), zeros, self.schema)

    def _zeros(self, signal: CaseSignal) -> list[Reason]:
        reasons = []
        share = _widened(self.real.zero_share, ZERO_MARGIN)
        # Where real cases hold no exact zeros, their share is what lies outside them: a mask may fill the whole grid.
        low = share.low if self.description.intensity.zero_background else 0.0
        if not low <= signal.zero_share <= share.high:
            reasons.append(Reason(check="background", value=signal.zero_share, low=low, high=share.high))
        allowed = self.real.zeros_inside.high * (1 + RANGE_MARGIN)  # none at all if real cases have none
        if signal.zeros_inside > allowed:
            reasons.append(Reason(check="zeros inside structures", value=signal.zeros_inside, low=0, high=allowed))
        return reasons

    def _signals(self, signal: CaseSignal) -> list[Reason]:
        return [*self._means(signal), *self._deviations(signal)]

    def _means(self, signal: CaseSignal) -> list[Reason]:
        reasons = []
        for name, means in signal.mean.items():
            for channel, value in enumerate(means if name in self.real.mean else ()):
                mean = _widened(self.real.mean[name][channel], MEAN_MARGIN)
                if not mean.low <= value <= mean.high:
                    reasons.append(Reason(check="mean", structure=name, value=value, low=mean.low, high=mean.high))
        return reasons

    def _deviations(self, signal: CaseSignal) -> list[Reason]:
        reasons = []
        for name, deviations in signal.deviation.items():
            for channel, spread in enumerate(deviations if name in self.real.deviation else ()):
                real = self.real.deviation[name][channel]
                low, high = real.low / DEVIATION_FACTOR, real.high * DEVIATION_FACTOR
                if not low <= spread <= high:
                    reasons.append(Reason(check="deviation", structure=name, value=spread, low=low, high=high))
        return reasons

    def _segmentation(self, case: SyntheticCase, found: np.ndarray) -> list[Reason]:
        schema, reasons = self.schema, []
        found = Relabelling(self.segmenter.schema, schema).apply(found)
        scores = dice(found, case.label, schema)
        labelled = int(((case.label > 0) & (case.label != schema.ignore)).sum())
        for name, value in schema.values.items():
            if (case.label == value).any():
                least = self._least_dice(name, int((case.label == value).sum()) / labelled)
                if scores[name] < least:
                    reasons.append(Reason(check="dice", structure=name, value=scores[name], low=least, high=1))
            elif (share := int((found == value).sum()) / max(labelled, 1)) > INVENTED_SHARE:
                reasons.append(Reason(check="invented", structure=name, value=share, low=0, high=INVENTED_SHARE))
        return reasons

    def _least_dice(self, name: str, share: float) -> float:
        """What a structure that takes this share of all labelled voxels has to reach.

        Where evaluation segmenters overlook small ones in some real cases, the 5th percentile is 0: it says nothing of
        large ones.
        """
        known = self.segmenter.heldout_dice.get(name)
        if known is None:
            return 0.0
        return max(DICE_SHARE * known.low, SEEN_SHARE * known.mean if share > LARGE_SHARE else 0.0)


def _widened(real: Range, least: float) -> Range:
    margin = max(RANGE_MARGIN * (real.high - real.low), least)
    return Range(low=real.low - margin, high=real.high + margin)
