"""Bootstrap intervals over cases: slices of one case resemble each other, and are never resampled one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lldm_aug.report.criterion import finite
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

    @property
    def cells(self) -> tuple[float | None, float | None, float | None]:
        """Value, low and high for a table, which has None for what is not finite."""
        return finite(self.value), finite(self.low), finite(self.high)


def bootstrap(statistic: Callable[..., float], sizes: Sequence[int], *seed: Part) -> Interval:
    """The 95 % percentile interval of a figure over resamples of its cases with replacement.

    Args:
        statistic: the figure, from how often each case of each set is taken: one integer array (n,) a set.
        sizes: number n of cases of each set.
        *seed: what the resamples are drawn for.

    Returns:
        NaN throughout where a set has no cases.
    """
    if min(sizes) < 1:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(statistic(*(np.ones(n, dtype=int) for n in sizes)))
    return interval(value, np.array([statistic(*counts) for counts in resamples(sizes, RESAMPLES, *seed)]))


def resamples(sizes: Sequence[int], number: int, *seed: Part) -> Iterator[tuple[np.ndarray, ...]]:
    """How often each case (n,) of each set is taken, in resamples with replacement."""
    rng = numpy_rng("bootstrap", *seed)
    return zip(*(rng.multinomial(n, np.full(n, 1 / n), size=number) for n in sizes), strict=True)


def taken(cases: Sequence[T], counts: np.ndarray) -> list[T]:
    """Each case as often as its count says."""
    return [case for case, count in zip(cases, counts, strict=True) for _ in range(count)]


def interval(value: float, found: np.ndarray) -> Interval:
    """A figure with its 95 % interval.

    Args:
        value: the figure.
        found: (R,) the same for resamples. Those without a value (no case shows the structure) don't count; where they
            are more than half, or there are none, there is no interval.
    """
    known = found[~np.isnan(found)]
    if not np.isfinite(value) or not len(known) or 2 * len(known) < len(found):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return Interval(value, float(low), float(high))


def centred(found: np.ndarray) -> np.ndarray:
    """Figures (1 + R, ...), of the cases and of R resamples, with the resamples moved to lie around the first.

    Resamples only give the spread: one holds about two thirds of the cases, and distances of distributions, which fall
    with the number of cases, are larger there.
    """
    if len(found) < 2:
        return found
    return np.concatenate([found[:1], found[1:] - found[1:].mean(axis=0) + found[0]])


def over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) ratios a / b, infinite where b is not above zero."""
    return np.array([x / y if y > 0 else np.inf for x, y in zip(a, b, strict=True)])


def spread(figures: np.ndarray) -> Interval:
    """The first of (1 + R,) figures, with the interval of the others."""
    return interval(float(figures[0]), figures[1:])
