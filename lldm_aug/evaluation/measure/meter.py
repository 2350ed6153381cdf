"""All that is measured of one image and its mask, so that no image need be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.data.intensity import background
from lldm_aug.data.structure_signal import CaseSignal, case_signal
from lldm_aug.evaluation.conformed_cases import ConformedCase
from lldm_aug.evaluation.measure.cache import ArrayCache, RecordCache, content_key
from lldm_aug.evaluation.measure.contents import Tree, liver_to_vessel, parenchyma_texture, trees
from lldm_aug.evaluation.measure.features import CaseFeatures, FeatureCache, pooled
from lldm_aug.evaluation.measure.neighbours import mask_cells, thumbnail
from lldm_aug.evaluation.measure.segmentation import Segmentation, segment
from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record
from lldm_aug.report.criterion import finite
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter

FOLDER = "measured"
VERSION = "1"
"""Changes when the same case would be measured otherwise: what was kept before is then measured again."""


@dataclass(frozen=True)
class Likeness:
    """What a copy of a case would share with it, and what distances of sets of cases are taken from.

    Args:
        case_id: whose.
        features: of its slices by plane, for each feature network.
        thumbnail: see `lldm_aug.evaluation.measure.neighbours.thumbnail`.
        cells: of the mask, see `lldm_aug.evaluation.measure.neighbours.mask_cells`.
    """

    case_id: str
    features: tuple[CaseFeatures, ...]
    thumbnail: np.ndarray
    cells: np.ndarray

    @property
    def pooled(self) -> np.ndarray:
        """The first network's features, one vector a volume."""
        return pooled(self.features[0])


class Figures(Record):
    """The figures of one image and its mask.

    Args:
        texture: of liver parenchyma; None without a liver.
        signal: of each structure, scaled intensities.
        liver_to_vessel: ratio of signals in the data's own units; None where either is missing.
        trees: vessels of the mask.
    """

    texture: float | None
    signal: CaseSignal
    liver_to_vessel: float | None
    trees: dict[str, Tree]


@dataclass(frozen=True)
class MeasuredCase:
    """All that is taken from one image and its mask.

    Args:
        likeness: for distances and the memorization check.
        figures: of the image and the mask.
        segmentation: what the evaluation segmenter found, if there is one.
    """

    likeness: Likeness
    figures: Figures
    segmentation: Segmentation | None


class Meter:
    """Measures images, each once: what it found is kept in a folder under hashes of what it was found in.

    Args:
        schema: structures of the masks.
        features: feature networks, at least one.
        segmenter: the evaluation segmenter; None leaves out what needs one.
        folder: where findings are kept.
    """

    def __init__(
        self, schema: LabelSchema, features: Sequence[FeatureCache], segmenter: EvaluationSegmenter | None, folder: Path
    ) -> None:
        self.schema = schema
        self.features = features
        self.segmenter = segmenter
        self._likenesses = ArrayCache(folder)
        self._figures = RecordCache(folder / "figures.jsonl", Figures)
        self._segmentations = RecordCache(folder / "segmentations.jsonl", Segmentation)

    def measure(self, case: ConformedCase) -> MeasuredCase:
        """Everything."""
        key, segmenter, found = self._key(case), self.segmenter, None
        if segmenter is not None:
            seen = content_key(segmenter.hash, key)
            found = self._segmentations.get(seen, lambda: segment(segmenter, case, self.schema))
        return MeasuredCase(self._likeness(case, key), self._figures.get(key, lambda: self._take(case)), found)

    def likeness(self, case: ConformedCase) -> Likeness:
        """What a copy of it would share alone."""
        return self._likeness(case, self._key(case))

    def _likeness(self, case: ConformedCase, key: str) -> Likeness:
        kept = self._likenesses.get(
            content_key("likeness", key),
            lambda: {
                "thumbnail": thumbnail(case.scaled),
                "cells": mask_cells(case.label, case.grid.spacing_mm, self.schema),
            },
        )
        features = tuple(cache.of_case(case) for cache in self.features)
        return Likeness(case.case_id, features, kept["thumbnail"], kept["cells"])

    def _take(self, case: ConformedCase) -> Figures:
        return Figures(
            texture=finite(parenchyma_texture(case.scaled, case.label, self.schema)),
            signal=case_signal(case.scaled, case.label, background(case.raw), self.schema),
            liver_to_vessel=finite(liver_to_vessel(case.raw, case.label, self.schema)),
            trees=trees(case.label, self.schema),
        )

    def _key(self, case: ConformedCase) -> str:
        told = f"{VERSION} {self.schema.values} {case.grid.spacing_mm}"
        return content_key(told, case.raw, case.scaled, case.label)
