"""What structures look like in a case on the generator's grid, and in which range real cases lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record

LEAST_VOXELS = 8
"""A structure of fewer voxels says too little about its mean and deviation."""


@dataclass(frozen=True)
class CaseSignal:
    """Figures of one case.

    Args:
        mean: scaled intensity of each structure, one value a channel.
        deviation: its standard deviation likewise.
        zero_share: share of voxels that are exactly zero in the data.
        zeros_inside: the same among labelled voxels.
    """

    mean: dict[str, tuple[float, ...]]
    deviation: dict[str, tuple[float, ...]]
    zero_share: float
    zeros_inside: float


class Range(Record):
    """Smallest and largest value seen."""

    low: float
    high: float


class RealSignal(Record):
    """Range of `CaseSignal` over real cases.

    Args:
        cases: how many.
        mean: of each structure that they show, one range a channel.
        deviation: likewise.
        zero_share: share of exact zeros.
        zeros_inside: share of exact zeros among labelled voxels.
    """

    cases: int
    mean: dict[str, tuple[Range, ...]]
    deviation: dict[str, tuple[Range, ...]]
    zero_share: Range
    zeros_inside: Range


def case_signal(image: np.ndarray, label: np.ndarray, zeros: np.ndarray, schema: LabelSchema) -> CaseSignal:
    """Measures a case on the generator's grid.

    Args:
        image: (C, X, Y, Z) scaled intensities.
        label: (X, Y, Z) integers.
        zeros: (X, Y, Z) share of each voxel that is exactly zero in the data.
        schema: the structures.
    """
    mean, deviation = {}, {}
    for name, value in schema.values.items():
        voxels = image[:, label == value].astype(np.float64)
        if voxels.shape[1] >= LEAST_VOXELS:
            mean[name] = tuple(map(float, voxels.mean(axis=1)))
            deviation[name] = tuple(map(float, voxels.std(axis=1)))
    inside = zeros[label > 0]
    return CaseSignal(mean, deviation, float(zeros.mean()), float((inside > 0.5).mean()) if inside.size else 0.0)


def real_signal(cases: Sequence[CaseSignal]) -> RealSignal:
    """The range of some cases, at least one."""
    return RealSignal(
        cases=len(cases),
        mean=_ranges([case.mean for case in cases]),
        deviation=_ranges([case.deviation for case in cases]),
        zero_share=_range([case.zero_share for case in cases]),
        zeros_inside=_range([case.zeros_inside for case in cases]),
    )


def _ranges(cases: Sequence[dict[str, tuple[float, ...]]]) -> dict[str, tuple[Range, ...]]:
    names = sorted({name for case in cases for name in case})
    return {name: tuple(_range(c) for c in zip(*(s[name] for s in cases if name in s), strict=True)) for name in names}


def _range(values: Sequence[float]) -> Range:
    return Range(low=min(values), high=max(values))
