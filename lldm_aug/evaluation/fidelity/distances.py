"""FID and KID of a pool to real cases, by plane and as their mean (2.5D), each with its real-vs-real floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.bootstrap import resamples
from lldm_aug.evaluation.feature_cache import CaseFeatures
from lldm_aug.evaluation.fidelity.resampled import (
    MEASURES,
    RESAMPLES,
    Features,
    centred,
    over,
    resampled,
    spread,
)
from lldm_aug.evaluation.fidelity.run import MeasuredCase
from lldm_aug.evaluation.frechet import dimensions_for
from lldm_aug.evaluation.slices import VOLUME
from lldm_aug.report.table import Cell, Table
from lldm_aug.seeds import numpy_rng

TWO_AND_A_HALF_D = "2.5D"
UNEVEN = 1.1
"""From this ratio of their slices on, two sets are said to differ."""
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

    def uneven(self, plane: str) -> str:
        """The slices of the three sets, if one has many more than another; else nothing."""
        counts = [sum(map(len, cases)) for cases in self.of(plane)]
        return "{} of pairs, {} and {} of real cases".format(*counts) if max(counts) > UNEVEN * min(counts) else ""


def distances(
    synthetic: Sequence[MeasuredCase], real: Sequence[MeasuredCase], networks: Sequence[str], seed: int
) -> Table:
    """Table ``distances``: a line for each network, plane and measure."""
    n = min(len(synthetic), len(real) // 2)
    pairs = numpy_rng("fidelity pairs", seed).permutation(len(synthetic))[:n]
    order = numpy_rng("fidelity halves", seed).permutation(len(real))
    rows: list[tuple[Cell, ...]] = []
    uneven: dict[str, str] = {}
    for number, network in enumerate(networks):
        sets = ThreeSets(
            [synthetic[i].features[number] for i in pairs],
            [real[i].features[number] for i in order[:n]],
            [real[i].features[number] for i in order[n : 2 * n]],
        )
        rows += _rows(network, sets, seed)
        uneven |= {plane: counts for plane in sets.planes if (counts := sets.uneven(plane))}
    title = f"Distance of {n} pairs to {n} held-out real cases, and of {n} other real cases to the same (the floor)"
    return Table(name="distances", title=title, columns=COLUMNS, rows=tuple(rows), note=_note(rows, uneven))


def _rows(network: str, sets: ThreeSets, seed: int) -> list[tuple[Cell, ...]]:
    """Lines of one network; what is behind each is computed once a plane, for every resample of cases."""
    n, features = len(sets.reference), sets.reference[0][sets.planes[0]].shape[1]
    slices = {plane: min(sum(map(len, cases)) for cases in sets.of(plane)) for plane in sets.planes}
    groups: dict[str, tuple[str, ...]] = {plane: (plane,) for plane in sets.planes}
    if len(sets.planes) > 1:
        groups = {_together(sets.planes): sets.planes, **groups}
    rows: list[tuple[Cell, ...]] = []
    draws = list(resamples((n, n, n), RESAMPLES, seed, network))  # the same ones in every plane
    for measure in MEASURES:
        found = {plane: resampled(measure, sets.of(plane), draws) for plane in sets.planes}
        for group, planes in groups.items():
            cells = figures(np.mean([found[plane] for plane in planes], axis=0))
            least = min(slices[plane] for plane in planes)
            used = dimensions_for(least, features) if measure == "FID" else features
            rows.append((network, group, measure, *cells, n, least, used, features))
    return rows


def _together(planes: Sequence[str]) -> str:
    return "mean" if any(plane.startswith(VOLUME) for plane in planes) else TWO_AND_A_HALF_D


def figures(found: np.ndarray) -> list[Cell]:
    """Distance, floor and their ratio, each with its interval."""
    distance, floor = centred(found).T
    return [cell for values in (distance, floor, over(distance, floor)) for cell in spread(values).cells]


def _note(rows: Sequence[tuple[Cell, ...]], uneven: Mapping[str, str]) -> str:
    slices, features = COLUMNS.index("slices"), COLUMNS.index("features")
    short = [row for row in rows if int(row[slices] or 0) <= int(row[features] or 0)]
    told = (
        "FID is taken in 8 random subspaces of so many dimensions that each has at least 4 slices, times features / "
        "dimensions. Intervals: 95 %, bootstrap over cases, spread around the figure; no upper end where the floor "
        "may be 0 or less."
    )
    if uneven:
        counts = "; ".join(f"{plane}: {count}" for plane, count in uneven.items())
        told = f"Slices differ in number ({counts}). FID grows as slices get fewer, so read KID, which does not. {told}"
    if not short:
        return told
    return (
        f"Fewer slices ({short[0][slices]}) than features ({short[0][features]}): covariances lack full rank, and "
        f"'FID plain' says mostly how few slices there are. Read KID and FID, over their floor. {told}"
    )
