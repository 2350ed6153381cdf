"""FID and KID of a set of cases to another, as means over planes, with the spread over cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.feature_cache import CaseFeatures
from lldm_aug.evaluation.frechet import Moments, dimensions_for, fid, projected_fid
from lldm_aug.evaluation.kid import KernelSums, jackknife_error


@dataclass(frozen=True)
class Figure:
    """A distance.

    Args:
        value: mean over planes.
        error: standard error, by leaving out each case of both sets; NaN where it was not computed.
    """

    value: float
    error: float = float("nan")


@dataclass(frozen=True)
class Distances:
    """How far one set lies from another.

    Args:
        fid: in random subspaces in which covariances have full rank (see `lldm_aug.evaluation.frechet`).
        fid_plain: of all features, as papers print it.
        kid: see `lldm_aug.evaluation.kid`.
    """

    fid: Figure
    fid_plain: Figure
    kid: Figure

    @classmethod
    def between(cls, x: Sequence[CaseFeatures], y: Sequence[CaseFeatures]) -> Distances:
        """Of two sets of as many cases."""
        planes = sorted(y[0])
        pairs = [([case[plane] for case in x], [case[plane] for case in y]) for plane in planes]
        kernels = [KernelSums.of(a, b) for a, b in pairs]
        moments = [_moments(a, b) for a, b in pairs]
        counts = np.ones(len(x), dtype=int)

        def kid(taken: np.ndarray) -> float:
            return float(np.mean([sums.resampled(taken, taken) for sums in kernels]))

        def frechet(taken: np.ndarray) -> float:
            return float(np.mean([projected_fid(a, b, taken, taken) for a, b in moments]))

        plain = float(np.mean([fid(np.concatenate(a), np.concatenate(b)) for a, b in pairs]))
        return cls(_figure(frechet, counts), Figure(plain), _figure(kid, counts))


def _moments(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[Moments, Moments]:
    dimensions = dimensions_for(min(sum(map(len, cases)) for cases in (a, b)), a[0].shape[1])
    return Moments.of(a, dimensions), Moments.of(b, dimensions)


def _figure(distance: Callable[[np.ndarray], float], counts: np.ndarray) -> Figure:
    leaving_out = []
    for i in range(len(counts)):
        fewer = counts.copy()
        fewer[i] = 0
        leaving_out.append(distance(fewer))
    return Figure(distance(counts), jackknife_error(leaving_out))
