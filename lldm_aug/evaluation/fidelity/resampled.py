"""Distances of sets of cases to the same reference, for the cases as they are and for resamples of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lldm_aug.evaluation.bootstrap import Interval, interval
from lldm_aug.evaluation.frechet import Moments, dimensions_for, fid, projected_fid
from lldm_aug.evaluation.kid import KernelSums

RESAMPLES = 200
PLAIN = "FID plain"
Features = list[np.ndarray]
"""Features (slices, D) of cases in one plane."""
Distance = Callable[[np.ndarray, np.ndarray], float]
"""From how often every case of the set, and of the reference, is taken."""
Draw = tuple[np.ndarray, ...]
"""How often every case of each set, and at last of the reference, is taken."""


def resampled(measure: str, sets: Sequence[Features], draws: Sequence[Draw]) -> np.ndarray:
    """Distances (1 + R, K) of K sets to the reference: of the cases as they are, then of R resamples.

    Args:
        measure: one of `MEASURES`; plain FID has no resamples.
        sets: features in one plane of the cases of each set, and at last of the reference.
        draws: the resamples.
    """
    *compared, reference = sets
    distances = MEASURES[measure](compared, reference)
    taken = [tuple(np.ones(len(cases), dtype=int) for cases in sets), *(() if measure == PLAIN else draws)]
    return np.array([[of(x, counts[-1]) for of, x in zip(distances, counts[:-1], strict=True)] for counts in taken])


def centred(found: np.ndarray) -> np.ndarray:
    """Figures (1 + R, ...) as `resampled` gives them, with the resamples moved to lie around the first.

    Resamples only give the spread: one holds about two thirds of the cases, and distances of distributions, which fall
    with the number of cases, are larger there.
    """
    if len(found) < 2:
        return found
    return np.concatenate([found[:1], found[1:] - found[1:].mean(axis=0) + found[0]])


def over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Ratios a / b, infinite where b is not above zero."""
    return np.array([x / y if y > 0 else np.inf for x, y in zip(a, b, strict=True)])


def spread(figures: np.ndarray) -> Interval:
    """The first of (1 + R,) figures, with the interval of the others."""
    return interval(float(figures[0]), figures[1:])


def _kernel(sets: Sequence[Features], reference: Features) -> list[Distance]:
    return [KernelSums.of(cases, reference).resampled for cases in sets]


def _frechet(sets: Sequence[Features], reference: Features) -> list[Distance]:
    slices = min(sum(map(len, cases)) for cases in (*sets, reference))
    dimensions = dimensions_for(slices, reference[0].shape[1])
    z = Moments.of(reference, dimensions)
    return [_projected(Moments.of(cases, dimensions), z) for cases in sets]


def _projected(x: Moments, z: Moments) -> Distance:
    return lambda taken, reference: projected_fid(x, z, taken, reference)


def _plain(sets: Sequence[Features], reference: Features) -> list[Distance]:
    z = np.concatenate(reference)
    return [_whole(np.concatenate(cases), z) for cases in sets]


def _whole(x: np.ndarray, z: np.ndarray) -> Distance:
    return lambda taken, reference: fid(x, z)


MEASURES: dict[str, Callable[[Sequence[Features], Features], list[Distance]]] = {
    "KID": _kernel,
    "FID": _frechet,
    PLAIN: _plain,
}
