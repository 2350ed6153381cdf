"""FID and KID of sets of images to real cases, by plane and as their mean (2.5D), each with its real-vs-real."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.evaluation.bootstrap import Interval, centred, over, resamples, spread
from lldm_aug.evaluation.measure.features import VOLUME, CaseFeatures
from lldm_aug.evaluation.measure.frechet import Moments, dimensions_for, fid, projected_fid
from lldm_aug.evaluation.measure.kid import KernelSums
from lldm_aug.report.data_table import Cell, Table

RESAMPLES = 200
PLAIN = "FID plain"
TWO_AND_A_HALF_D = "2.5D"
ALL_PLANES = (TWO_AND_A_HALF_D, "mean")
"""Names of the mean over the planes of slices, and over the channels of volumes."""
UNEVEN = 1.1
"""From this ratio of their slices on, two sets are said to differ."""
COLUMNS = (
    *("network", "plane", "measure", "value", "low", "high", "real_vs_real", "real_vs_real_low", "real_vs_real_high"),
    *(
        "over_real_vs_real",
        "over_real_vs_real_low",
        "over_real_vs_real_high",
        "cases",
        "slices",
        "dimensions",
        "features",
    ),
)
Features = list[np.ndarray]
"""Features (slices, D) of cases in one plane."""
Case = tuple[CaseFeatures, ...]
"""Features of a case, of every network."""
Distance = Callable[[np.ndarray, np.ndarray], float]
"""From how often every case of the set, and of the reference, is taken."""
Draw = tuple[np.ndarray, ...]
"""How often every case of each set, and at last of the reference, is taken."""


@dataclass(frozen=True)
class Line:
    """One measure in one plane, or as the mean of several.

    Args:
        network: the feature network.
        plane: the plane.
        measure: one of `MEASURES`.
        slices: of the smallest set in the plane with the fewest.
        features: their number.
        found: (1 + R, K) distances of the K sets, the real-vs-real distance last, and those of resamples around them.
    """

    network: str
    plane: str
    measure: str
    slices: int
    features: int
    found: np.ndarray


@dataclass(frozen=True)
class Distances:
    """Of several sets to the same reference.

    Args:
        names: of the sets; the last one, of real cases, is the real-vs-real distance.
        cases: in each set.
        lines: everything that was found.
        slices: by plane, the slices of each set and of the reference.
    """

    names: tuple[str, ...]
    cases: int
    lines: tuple[Line, ...]
    slices: dict[str, tuple[int, ...]]

    @classmethod
    def between(
        cls,
        sets: Mapping[str, Sequence[Case]],
        reference: Sequence[Case],
        networks: Sequence[str],
        seed: int,
        *,
        paired: bool,
    ) -> Distances:
        """Of sets to a reference, in the features of every network.

        Args:
            sets: features of the cases of each set, equally many, the real-vs-real distance last.
            reference: of the real cases to compare with.
            networks: names of the networks.
            seed: of the resamples.
            paired: whether the sets have the same masks, number by number, and are resampled together.
        """
        n, m, every = len(next(iter(sets.values()))), len(reference), (*sets.values(), reference)
        lines: list[Line] = []
        slices: dict[str, tuple[int, ...]] = {}
        for number, network in enumerate(networks):
            if paired:
                draws = [(*[same] * len(sets), others) for same, others in resamples((n, m), RESAMPLES, seed, network)]
            else:
                draws = list(resamples((*[n] * len(sets), m), RESAMPLES, seed, network))
            planes = {
                plane: [[case[number][plane] for case in cases] for cases in every]
                for plane in sorted(reference[0][number])
            }
            lines += _lines(network, planes, draws)
            slices |= {plane: tuple(sum(map(len, s)) for s in features) for plane, features in planes.items()}
        return cls(tuple(sets), n, tuple(lines), slices)

    def of(self, measure: str, name: str) -> Interval:
        """A set's distance, the mean over planes in the features of the first network."""
        return spread(self._column(measure, name))

    def over_real_vs_real(self, measure: str, name: str) -> Interval:
        """The same as a multiple of the real-vs-real distance."""
        return self.ratio(measure, name, self.names[-1])

    def ratio(self, measure: str, name: str, other: str) -> Interval:
        """A set's distance as a multiple of another's."""
        return spread(over(self._column(measure, name), self._column(measure, other)))

    def _column(self, measure: str, name: str) -> np.ndarray:
        column: np.ndarray = next(line.found for line in self.lines if line.measure == measure)[
            :, self.names.index(name)
        ]
        return column

    def table(self, name: str) -> Table:
        """Table ``distances`` of a set: a line for each network, plane and measure."""
        i = self.names.index(name)
        rows: list[tuple[Cell, ...]] = []
        for line in self.lines:
            used = dimensions_for(line.slices, line.features) if line.measure == "FID" else line.features
            sizes = (self.cases, line.slices, used, line.features)
            rows.append((line.network, line.plane, line.measure, *figures(line.found[:, [i, -1]]), *sizes))
        n = self.cases
        title = (
            f"Distance of {n} pairs to {n} held-out real cases, and of {n} other real cases to the same (real-vs-real)"
        )
        return Table(name="distances", title=title, columns=COLUMNS, rows=tuple(rows), note=self._note(i))

    def _note(self, i: int) -> str:
        short = [line for line in self.lines if line.slices <= line.features]
        told = (
            "FID is taken in 8 random subspaces of so many dimensions that each has at least 4 slices, times features "
            "/ dimensions. Intervals: 95 %, bootstrap over cases, spread around the figure; no upper end where the "
            "real-vs-real distance may be 0 or less."
        )
        counts = {plane: (found[i], *found[-2:]) for plane, found in self.slices.items()}
        uneven = {plane: found for plane, found in counts.items() if max(found) > UNEVEN * min(found)}
        if uneven:
            listed = "; ".join("{}: {} of pairs, {} and {} of real cases".format(p, *c) for p, c in uneven.items())
            told = (
                f"Slices differ in number ({listed}). FID grows as slices get fewer, so read KID, which does not. "
                f"{told}"
            )
        if not short:
            return told
        return (
            f"Fewer slices ({short[0].slices}) than features ({short[0].features}): covariances lack full rank, and "
            f"'FID plain' says mostly how few slices there are. Read KID and FID, over their real-vs-real "
            f"distance. {told}"
        )


def _lines(network: str, planes: Mapping[str, Sequence[Features]], draws: Sequence[Draw]) -> Iterator[Line]:
    """Lines of one network; what is behind each is computed once a plane, for every resample of cases."""
    features = next(iter(planes.values()))[0][0].shape[1]
    least = {plane: min(sum(map(len, cases)) for cases in sets) for plane, sets in planes.items()}
    groups: dict[str, tuple[str, ...]] = {plane: (plane,) for plane in planes}
    if len(planes) > 1:
        together = ALL_PLANES[any(plane.startswith(VOLUME) for plane in planes)]
        groups = {together: tuple(planes), **groups}
    for measure in MEASURES:
        found = {plane: resampled(measure, sets, draws) for plane, sets in planes.items()}
        for group, members in groups.items():
            mean = centred(np.mean([found[plane] for plane in members], axis=0))
            yield Line(network, group, measure, min(least[plane] for plane in members), features, mean)


def figures(found: np.ndarray) -> list[Cell]:
    """Distance, real-vs-real distance and their ratio, each with its interval, from (1 + R, 2) distances and
    real-vs-real distances."""
    distance, real_vs_real = centred(found).T
    return [cell for values in (distance, real_vs_real, over(distance, real_vs_real)) for cell in spread(values).cells]


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
