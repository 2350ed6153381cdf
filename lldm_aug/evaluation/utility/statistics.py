"""Gains paired by case: mean, bootstrap interval, signed-rank test, and Holm's correction for many tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap, wilcoxon

from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

RESAMPLES = 9999
CONFIDENCE = 0.95
FEWEST = 6
"""Cases below which there is neither an interval, which would be too short, nor a test, which could not reach 0.05."""


class Gain(Record):
    """The mean difference of paired cases.

    Args:
        mean: of the differences.
        low: lower end of the 95 % interval; None for too few cases.
        high: upper end.
        p: of Wilcoxon's signed-rank test, two-sided; None for too few cases.
        n: number of cases.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def paired_gain(differences: Sequence[float], *name: str | float) -> Gain:
    """Mean, bias-corrected and accelerated bootstrap interval (Efron 1987) and test of differences.

    Args:
        differences: of each case; at least one.
        *name: what the resampling is seeded by.
    """
    values = np.asarray(differences, dtype=float)
    mean, n = float(values.mean()), values.size
    if n < FEWEST:
        return Gain(mean=mean, low=None, high=None, p=None, n=n)
    if np.ptp(values) == 0:  # nothing to resample
        return Gain(mean=mean, low=mean, high=mean, p=1.0 if mean == 0 else float(wilcoxon(values).pvalue), n=n)
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=numpy_rng("bootstrap", *name),
    )
    low, high = found.confidence_interval
    return Gain(mean=mean, low=float(low), high=float(high), p=float(wilcoxon(values).pvalue), n=n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number (Holm 1979), in their order; None stays, and does not count."""
    tests = sorted((p, number) for number, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, (p, number) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - place) * p))
        corrected[number] = largest
    return corrected
