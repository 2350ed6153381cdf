"""Bootstrap intervals over cases: slices of one case resemble each other, and are never resampled one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lldm_aug.seeds import Part, numpy_rng

LEVEL = 0.95
RESAMPLES = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where there is none.

    Args:
        value: of the cases as they are.
        low: the interval's lower end.
        high: its upper end.
    """

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[..., float],
    sizes: Sequence[int],
    *seed: Part,
    resamples: int = RESAMPLES,
    recentred: bool = False,
) -> Interval:
    """The percentile interval of a figure over resamples of its cases with replacement.

    Args:
        statistic: the figure, from how often each case of each set is taken: one integer array (n,) a set.
        sizes: number n of cases of each set.
        *seed: what the resamples are drawn for.
        resamples: how many.
        recentred: whether the resamples only give the spread, around the figure itself. A resample holds about two
            thirds of the cases, and distances of distributions, which fall with the number of cases, are larger there.
    """
    value = float(statistic(*(np.ones(n, dtype=int) for n in sizes)))
    rng = numpy_rng("bootstrap", *seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=resamples) for n in sizes]
    return _interval(value, np.array([statistic(*counts) for counts in zip(*drawn, strict=True)]), recentred)


def taken(cases: Sequence[T], counts: np.ndarray) -> list[T]:
    """Each case as often as its count says."""
    return [cases[i] for i in np.repeat(np.arange(len(cases)), counts)]


def _interval(value: float, found: np.ndarray, recentred: bool) -> Interval:
    """Resamples without a value (no case shows the structure) don't count, unless they are more than half."""
    known = found[~np.isnan(found)]
    if not np.isfinite(value) or 2 * len(known) < len(found):
        return Interval(value, float("nan"), float("nan"))
    shift = value - float(known.mean()) if recentred else 0.0
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Interval(value, float(low) + shift, float(high) + shift)
