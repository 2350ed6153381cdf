"""All that the bench takes from one image, so that no image need be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.data.intensity import background
from lldm_aug.data.signal import CaseSignal, case_signal
from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.evaluation.copies import thumbnail
from lldm_aug.evaluation.faithfulness import RefereeScore, referee_score
from lldm_aug.evaluation.feature_cache import CaseFeatures, FeatureCache, pooled
from lldm_aug.evaluation.signal import liver_to_vessel
from lldm_aug.evaluation.texture import parenchyma_texture
from lldm_aug.labels import LabelSchema
from lldm_aug.synthesis.referee import Referee


@dataclass(frozen=True)
class Fingerprint:
    """What a copy would share with its original.

    Args:
        case_id: whose.
        pooled: features, one vector a volume.
        thumbnail: see `lldm_aug.evaluation.copies.thumbnail`.
    """

    case_id: str
    pooled: np.ndarray
    thumbnail: np.ndarray


@dataclass(frozen=True)
class Measurement:
    """The figures of one image.

    Args:
        fingerprint: for the search of copies.
        features: of its slices, by plane.
        score: the referee's, if there is one.
        texture: of liver parenchyma; NaN without a liver.
        signal: of each structure, scaled intensities.
        liver_to_vessel: ratio of signals in the data's own units; NaN where either is missing.
    """

    fingerprint: Fingerprint
    features: CaseFeatures
    score: RefereeScore | None
    texture: float
    signal: CaseSignal
    liver_to_vessel: float


@dataclass(frozen=True)
class Meter:
    """Takes the figures of images.

    Args:
        schema: structures of the masks.
        cache: of features.
        referee: who segments; None leaves faithfulness out.
    """

    schema: LabelSchema
    cache: FeatureCache
    referee: Referee | None

    def measure(self, case: ConformedCase) -> Measurement:
        """All figures of one image."""
        features = self.features(case)
        return Measurement(
            fingerprint=Fingerprint(case.case_id, pooled(features), thumbnail(case.scaled)),
            features=features,
            score=None if self.referee is None else referee_score(self.referee, case, self.schema),
            texture=parenchyma_texture(case.scaled, case.label, self.schema),
            signal=case_signal(case.scaled, case.label, background(case.raw), self.schema),
            liver_to_vessel=liver_to_vessel(case.raw, case.label, self.schema),
        )

    def features(self, case: ConformedCase) -> CaseFeatures:
        """Features of its slices."""
        return self.cache.of_case(case)

    def fingerprint(self, case: ConformedCase) -> Fingerprint:
        """What a copy of it would share."""
        return Fingerprint(case.case_id, pooled(self.features(case)), thumbnail(case.scaled))
