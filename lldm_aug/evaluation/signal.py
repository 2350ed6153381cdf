"""Signal of structures: mean and spread, how far synthetic lie from real ones, and liver against vessels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.labels import LabelSchema
from lldm_aug.masks.validity import LIVER, VESSELS


@dataclass(frozen=True)
class Signal:
    """One structure in one image, first channel.

    Args:
        mean: over its voxels.
        deviation: standard deviation over its voxels.
    """

    mean: float
    deviation: float


@dataclass(frozen=True)
class SignalShift:
    """How synthetic cases differ from real ones in one structure.

    Args:
        mean: difference of the mean, in standard deviations of the real voxels within a case.
        deviation: difference of the voxels' standard deviation, in the same unit.
        mean_between_cases: difference of the mean, in standard deviations of the real cases' means.
        real_cases: real cases that hold the structure.
        synthetic_cases: synthetic ones.
    """

    mean: float
    deviation: float
    mean_between_cases: float
    real_cases: int
    synthetic_cases: int


def structure_signals(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> dict[str, Signal]:
    """Signal of each structure that an (X, Y, Z) label holds, in the first channel of a (C, X, Y, Z) image."""
    found = {}
    for name, value in schema.values.items():
        voxels = image[0][label == value]
        if voxels.size:
            found[name] = Signal(float(voxels.mean()), float(voxels.std()))
    return found


def signal_shift(
    real: Sequence[dict[str, Signal]], synthetic: Sequence[dict[str, Signal]], structure: str
) -> SignalShift:
    """Synthetic minus real for one structure, cases counting alike; NaN where either side lacks it."""
    r, s = ([case[structure] for case in cases if structure in case] for cases in (real, synthetic))
    if not r or not s:
        return SignalShift(float("nan"), float("nan"), float("nan"), len(r), len(s))
    real_means, real_deviations = np.array([x.mean for x in r]), np.array([x.deviation for x in r])
    unit = float(np.sqrt((real_deviations**2).mean())) or float("nan")
    between = float(real_means.std(ddof=1)) if len(r) > 1 else 0.0
    shift = float(np.mean([x.mean for x in s]) - real_means.mean())
    deviation = float(np.sqrt(np.mean([x.deviation**2 for x in s])))
    return SignalShift(shift / unit, deviation / unit - 1, shift / (between or float("nan")), len(r), len(s))


def liver_to_vessel(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> float:
    """Mean signal of liver parenchyma over that of all vessels, first channel of a (C, X, Y, Z) image in its own units.

    NaN where either is missing.
    """
    vessels = [value for name, value in schema.values.items() if name in VESSELS]
    if LIVER not in schema.names:
        return float("nan")
    bright, dark = image[0][label == schema.value(LIVER)], image[0][np.isin(label, vessels)]
    if not bright.size or not dark.size or dark.mean() <= 0:
        return float("nan")
    return float(bright.mean() / dark.mean())
