"""FID and KID of a pool to real cases, by plane and as their mean (2.5D), each with its real-vs-real floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.bootstrap import interval, resamples
from lldm_aug.evaluation.feature_cache import CaseFeatures
from lldm_aug.evaluation.fidelity.run import MeasuredCase
from lldm_aug.evaluation.frechet import Moments, dimensions_for, fid, projected_fid
from lldm_aug.evaluation.goals import finite
from lldm_aug.evaluation.kid import KernelSums
from lldm_aug.evaluation.slices import VOLUME
from lldm_aug.report.table import Cell, Table
from lldm_aug.seeds import numpy_rng

RESAMPLES = 200
TWO_AND_A_HALF_D = "2.5D"
COLUMNS = (
    "network",
    "plane",
    "measure",
    "value",
    "low",
    "high",
    "floor",
    "floor_low",
    "floor_high",
    "over_floor",
    "over_floor_low",
    "over_floor_high",
    "cases",
    "slices",
    "dimensions",
    "features",
)
PLAIN = "FID plain"
Features = list[np.ndarray]
"""Features (slices, D) of cases in one plane."""
Pair = tuple[Callable[[np.ndarray, np.ndarray], float], Callable[[np.ndarray, np.ndarray], float]]
"""Distance and floor, each from how often every case of the set and of the reference is taken."""


@dataclass(frozen=True)
class ThreeSets:
    """As many synthetic as real cases on either side, by plane: lists of features (slices, D), one a case.

    Args:
        synthetic: pairs drawn from the pool.
        floor: real cases that stand in their place for the floor.
        reference: real cases that both are compared with.
    """

    synthetic: list[CaseFeatures]
    floor: list[CaseFeatures]
    reference: list[CaseFeatures]

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes (or volumes)."""
        return tuple(sorted(self.reference[0]))

    def of(self, plane: str) -> tuple[Features, Features, Features]:
        """Features of the three sets in one plane."""
        a, b, c = ([case[plane] for case in cases] for cases in (self.synthetic, self.floor, self.reference))
        return a, b, c


def distances(
    synthetic: Sequence[MeasuredCase], real: Sequence[MeasuredCase], networks: Sequence[str], seed: int
) -> Table:
    """Table ``distances``: a line for each network, plane and measure."""
    n = min(len(synthetic), len(real) // 2)
    pairs = numpy_rng("fidelity pairs", seed).permutation(len(synthetic))[:n]
    order = numpy_rng("fidelity halves", seed).permutation(len(real))
    rows: list[tuple[Cell, ...]] = []
    for number, network in enumerate(networks):
        sets = ThreeSets(
            [synthetic[i].features[number] for i in pairs],
            [real[i].features[number] for i in order[:n]],
            [real[i].features[number] for i in order[n : 2 * n]],
        )
        rows += _rows(network, sets, seed)
    title = f"Distance of {n} pairs to {n} held-out real cases, and of {n} other real cases to the same (the floor)"
    return Table(name="distances", title=title, columns=COLUMNS, rows=tuple(rows), note=_note(rows))


def _rows(network: str, sets: ThreeSets, seed: int) -> list[tuple[Cell, ...]]:
    """Lines of one network; what is behind each is computed once a plane, for every resample of cases."""
    n, features = len(sets.reference), sets.reference[0][sets.planes[0]].shape[1]
    slices = {plane: min(sum(map(len, cases)) for cases in sets.of(plane)) for plane in sets.planes}
    groups: dict[str, tuple[str, ...]] = {plane: (plane,) for plane in sets.planes}
    if len(sets.planes) > 1:
        groups = {_together(sets.planes): sets.planes, **groups}
    rows: list[tuple[Cell, ...]] = []
    for measure, make in MEASURES.items():
        found = {plane: _resampled(make(*sets.of(plane)), n, measure, (seed, network)) for plane in sets.planes}
        for group, planes in groups.items():
            figures = _figures(np.mean([found[plane] for plane in planes], axis=0))
            least = min(slices[plane] for plane in planes)
            used = dimensions_for(least, features) if measure == "FID" else features
            rows.append((network, group, measure, *figures, n, least, used, features))
    return rows


def _together(planes: Sequence[str]) -> str:
    return "mean" if any(plane.startswith(VOLUME) for plane in planes) else TWO_AND_A_HALF_D


def _resampled(pair: Pair, n: int, measure: str, seed: tuple[int | str, ...]) -> np.ndarray:
    """(1 + R, 2) distance and floor of the cases as they are, then of resamples: the same ones in every plane."""
    ours, theirs = pair
    ones = np.ones(n, dtype=int)
    counts: list[tuple[np.ndarray, ...]] = [(ones, ones, ones)]
    if measure != PLAIN:
        counts += resamples((n, n, n), RESAMPLES, *seed)
    return np.array([(ours(s, r), theirs(f, r)) for s, f, r in counts])


def _figures(found: np.ndarray) -> list[Cell]:
    """Distance, floor and their ratio, each with its interval.

    Resamples only give the spread, around the figures themselves: a resample holds about two thirds of the cases, and
    distances of distributions, which fall with the number of cases, are larger there.
    """
    spread = found[1:] - found[1:].mean(axis=0) + found[0] if len(found) > 1 else found[1:]
    told = [
        interval(float(values[0]), values[1:])
        for values in (*(np.append(found[0, i], spread[:, i]) for i in (0, 1)), _over(np.vstack([found[:1], spread])))
    ]
    return [finite(value) for one in told for value in (one.value, one.low, one.high)]


def _over(found: np.ndarray) -> np.ndarray:
    """Distance over floor, infinite where there is no floor."""
    return np.array([ours / floor if floor > 0 else np.inf for ours, floor in found])


def _kernel(a: Features, b: Features, c: Features) -> Pair:
    return KernelSums.of(a, c).resampled, KernelSums.of(b, c).resampled


def _frechet(a: Features, b: Features, c: Features) -> Pair:
    slices = min(sum(map(len, cases)) for cases in (a, b, c))
    dimensions = dimensions_for(slices, c[0].shape[1])
    x, y, z = (Moments.of(cases, dimensions) for cases in (a, b, c))
    return (lambda s, r: projected_fid(x, z, s, r)), (lambda f, r: projected_fid(y, z, f, r))


def _plain(a: Features, b: Features, c: Features) -> Pair:
    x, y, z = (np.concatenate(cases) for cases in (a, b, c))
    return (lambda s, r: fid(x, z)), (lambda f, r: fid(y, z))


MEASURES: dict[str, Callable[[Features, Features, Features], Pair]] = {"KID": _kernel, "FID": _frechet, PLAIN: _plain}


def _note(rows: Sequence[tuple[Cell, ...]]) -> str:
    slices, features = COLUMNS.index("slices"), COLUMNS.index("features")
    short = [row for row in rows if int(row[slices] or 0) <= int(row[features] or 0)]
    told = (
        "FID is taken in 8 random subspaces of so many dimensions that each has at least 4 slices, times features / "
        "dimensions. Intervals: 95 %, bootstrap over cases, spread around the figure; no upper end where the floor "
        "may be 0 or less."
    )
    if not short:
        return told
    return (
        f"Fewer slices ({short[0][slices]}) than features ({short[0][features]}): covariances lack full rank, and "
        f"'FID plain' says mostly how few slices there are. Read KID and FID, over their floor. {told}"
    )
