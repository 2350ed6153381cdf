"""The one way from cases to tables: pools and real cases are measured alike, and each pool is compared with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lldm_aug.evaluation.conformed_cases import ConformedCase, Reader
from lldm_aug.evaluation.generation import Steps
from lldm_aug.evaluation.measure.features import FeatureNetwork
from lldm_aug.evaluation.measure.meter import Likeness, MeasuredCase, Meter
from lldm_aug.evaluation.tables.content_tables import Sides, mask_consistency, signal, vessels
from lldm_aug.evaluation.tables.distances import Case, Distances
from lldm_aug.evaluation.tables.diversity import Matrices, between_cases, diversity
from lldm_aug.evaluation.tables.memorization import (
    CopyVerdict,
    Space,
    copies_table,
    draw_nearest_pairs,
    find_nearest_pairs,
    find_spaces,
    judge_space,
    verdicts_table,
)
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.report.data_table import Table
from lldm_aug.seeds import numpy_rng

REAL_VS_REAL = "real"
"""Name of the real cases among the sets whose distances are taken."""
VOLUMES = 10
"""Volumes of each set that are kept for similarity in 3D."""


@dataclass(frozen=True)
class MeasuredSet:
    """Measured cases.

    Args:
        cases: all of them.
        volumes: scaled (C, X, Y, Z) images of the first ones.
    """

    cases: list[MeasuredCase]
    volumes: list[np.ndarray]

    @property
    def likenesses(self) -> list[Likeness]:
        """What copies would share with them."""
        return [case.likeness for case in self.cases]

    @property
    def features(self) -> list[Case]:
        """Features of every network."""
        return [case.likeness.features for case in self.cases]

    @cached_property
    def matrices(self) -> Matrices:
        """How alike the cases are among themselves."""
        return between_cases(self.cases, self.volumes)


@dataclass(frozen=True)
class Pairs(MeasuredSet):
    """The measured pairs of a pool.

    Args:
        pool: the pool.
        paired: whether they have the masks of the real cases, number by number.
        by_design: pairs that were made for the mask of a training case, or one made from it.
    """

    pool: PoolDataset
    paired: bool
    by_design: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Ids of the pairs."""
        return [pair.case_id for pair in self.pool.cases]


@dataclass(frozen=True)
class Comparison:
    """Everything that figures are made of.

    Args:
        reader: read the cases.
        networks: for features; the first one's serve the memorization check.
        segmenter: hash of the evaluation segmenter, if there is one.
        seed: of resamples.
        pools: measured pairs by name of their pool; the first pool is the one in question.
        real: held-out real cases.
        others: other held-out real cases, which images are compared with; without any, `real` is split in halves.
        training: cases that the generator saw; empty if they are not at hand.
    """

    reader: Reader
    networks: tuple[FeatureNetwork, ...]
    segmenter: str | None
    seed: int
    pools: dict[str, Pairs]
    real: MeasuredSet
    others: list[Likeness]
    training: list[Likeness]

    @cached_property
    def tables(self) -> dict[str, dict[str, Table]]:
        """Every table of every pool, by the pool's name and its own."""
        return {name: {table.name: table for table in self._tables(name)} for name in self.pools}

    def _tables(self, name: str) -> tuple[Table, ...]:
        pairs, sides = self.pools[name], self.sides(name)
        return (
            self.distances[name].table(name),
            mask_consistency(sides),
            vessels(sides),
            signal(sides),
            diversity(pairs.matrices, self.real.matrices, self.seed),
            verdicts_table(self.verdicts(name)),
            copies_table(self.spaces[name], pairs.names, [case.case_id for case in self.training]),
        )

    def sides(self, name: str) -> Sides:
        """A pool and the real cases."""
        pairs = self.pools[name]
        return Sides(pairs.cases, self.real.cases, self.reader.schema, self.seed, pairs.paired)

    @cached_property
    def distances(self) -> dict[str, Distances]:
        """Distances by pool; pools of the same masks are resampled together, with the real cases that lent them."""
        paired = {name: pairs.features for name, pairs in self.pools.items() if pairs.paired}
        real_vs_real = {REAL_VS_REAL: self.real.features}
        found = dict.fromkeys(paired, self._distances({**paired, **real_vs_real}, paired=True)) if paired else {}
        for name in [name for name in self.pools if name not in paired]:
            found[name] = self._distances({name: self.pools[name].features, **real_vs_real}, paired=False)
        return found

    def _distances(self, sets: dict[str, list[Case]], *, paired: bool) -> Distances:
        reference = [case.features for case in self.others]
        if not reference:
            sets, reference = _in_halves(sets, self.seed)
        names = [network.name for network in self.networks]
        return Distances.between(sets, reference, names, self.seed, paired=paired)

    @cached_property
    def spaces(self) -> dict[str, list[Space]]:
        """Nearest training cases by pool; none where the training cases are not at hand."""
        held_out = [*self.real.likenesses, *self.others]
        return {
            name: find_spaces(pairs.likenesses, held_out, self.training) if self.training else []
            for name, pairs in self.pools.items()
        }

    def verdicts(self, name: str) -> tuple[CopyVerdict, ...]:
        """The verdict on a pool by each distance."""
        pairs = self.pools[name]
        return tuple(judge_space(space, pairs.names, pairs.by_design) for space in self.spaces[name])

    def draw_nearest_pairs(self, name: str, out: Path) -> list[Path]:
        """Draws the pairs of a pool that are nearest to a training case beside it; see `draw_nearest_pairs`."""
        pairs = self.pools[name]
        found = find_nearest_pairs(self.spaces[name], pairs.names, pairs.by_design)
        shown = [
            (
                nearest_pair,
                self.reader.pair(pairs.pool, pairs.pool.cases[nearest_pair.pair]),
                self.reader.training_case(self.training[nearest_pair.training].case_id),
            )
            for nearest_pair in found
        ]
        return draw_nearest_pairs(shown, self.reader.schema, out) if shown else []


def compare(
    reader: Reader,
    meter: Meter,
    pools: Mapping[str, PoolDataset],
    real: Sequence[str],
    others: Sequence[str],
    training: Sequence[str],
    seed: int,
    steps: Steps,
) -> Comparison:
    """Measures every case once.

    Args:
        reader: reads the cases.
        meter: measures them, and keeps what it found, so that a second call goes on.
        pools: by name, the one in question first.
        real: ids of the held-out cases that pairs are compared with.
        others: ids of others for distances; none to split the former in halves.
        training: ids of the cases that the generator saw; none if they are not at hand.
        seed: of resamples.
        steps: are told of each case: those of all pools, and real, other and training cases.
    """
    measured = {name: _measure_pool(reader, meter, pool, real, training, steps, name) for name, pool in pools.items()}
    real_cases = _measure(meter, map(reader.real_case, real), steps, "held-out real cases")
    return Comparison(
        reader=reader,
        networks=tuple(cache.network for cache in meter.features),
        segmenter=None if meter.segmenter is None else meter.segmenter.hash,
        seed=seed,
        pools=measured,
        real=real_cases,
        others=_likenesses(meter, map(reader.real_case, others), steps, "other held-out cases"),
        training=_likenesses(meter, map(reader.training_case, training), steps, "training cases"),
    )


def count_cases(pools: int, n: int, *ids: Sequence[str]) -> int:
    """Steps of `compare`: pools of n pairs, and lists of real cases."""
    return pools * n + sum(map(len, ids))


def _measure_pool(
    reader: Reader,
    meter: Meter,
    pool: PoolDataset,
    real: Sequence[str],
    training: Sequence[str],
    steps: Steps,
    name: str,
) -> Pairs:
    found = _measure(meter, (reader.pair(pool, pair) for pair in pool.cases), steps, f"measuring: {name}")
    paired = [pair.mask.source_case for pair in pool.cases if reader.is_lent(pair)] == [*real]
    known = {*training} if reader.training is not None else set()
    by_design = frozenset(
        pair.case_id
        for pair in pool.cases
        if reader.training is not None
        and pair.mask.source_case in known
        and pair.mask.source_dataset == reader.training.name
    )
    return Pairs(found.cases, found.volumes, pool, paired, by_design)


def _measure(meter: Meter, cases: Iterable[ConformedCase], steps: Steps, note: str) -> MeasuredSet:
    found = MeasuredSet([], [])
    for case in cases:
        found.cases.append(meter.measure(case))
        if len(found.volumes) < VOLUMES:
            found.volumes.append(case.scaled)
        steps.tell(note)
    return found


def _likenesses(meter: Meter, cases: Iterable[ConformedCase], steps: Steps, note: str) -> list[Likeness]:
    found = []
    for case in cases:
        found.append(meter.likeness(case))
        steps.tell(note)
    return found


def _in_halves(sets: Mapping[str, list[Case]], seed: int) -> tuple[dict[str, list[Case]], list[Case]]:
    """As many pairs as there are real cases in half of them; one half is the real-vs-real distance, the other the
    reference."""
    (name, pairs), (real_vs_real, real) = sets.items()
    n = min(len(pairs), len(real) // 2)
    chosen = numpy_rng("fidelity pairs", seed).permutation(len(pairs))[:n]
    order = numpy_rng("fidelity halves", seed).permutation(len(real))
    halves = ([real[i] for i in order[:n]], [real[i] for i in order[n : 2 * n]])
    return {name: [pairs[i] for i in chosen], real_vs_real: halves[0]}, halves[1]
