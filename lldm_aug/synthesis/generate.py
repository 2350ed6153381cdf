"""Filling a pool, and renewing it.

What is in the manifest is done, the rest is made, in any order and by any number of processes. In a pool that renews
itself the oldest case goes for each new one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, takewhile
from pathlib import Path

from lldm_aug.errors import ConfigError, PoolError
from lldm_aug.interrupt import stop_requests
from lldm_aug.pool.manifest import PoolCase, read_cases, read_manifest
from lldm_aug.pool.pool_dataset import check_case
from lldm_aug.pool.rejected import RejectedCase, read_rejected
from lldm_aug.pool.retired import GRACE_SECONDS, RETIRED_FILE, RetiredCases, read_retired
from lldm_aug.pool.writer import case_name, write_case
from lldm_aug.synthesis.quality_filter import QualityFilter
from lldm_aug.synthesis.synthetic_case import SyntheticCase

MakeCase = Callable[[int, int], SyntheticCase]
"""Makes the case of a run's seed and a number in it."""


def missing_indices(pool: Path, n: int, seed: int, num_parts: int = 1, part_id: int = 0) -> list[int]:
    """Numbers below ``n`` that belong to a part and were not made yet; arguments and errors as `unmade_indices`."""
    return list(takewhile(lambda index: index < n, unmade_indices(pool, seed, num_parts, part_id)))


def unmade_indices(pool: Path, seed: int, num_parts: int = 1, part_id: int = 0) -> Iterator[int]:
    """All numbers that belong to a part and were not made yet, without end; rejected and retired pairs were made.

    Raises:
        ConfigError: for a part that is not in 0..num_parts - 1.
        PoolError: when a case that the manifest names is missing or has another size.
    """
    if not 0 <= part_id < num_parts:
        raise ConfigError(f"part {part_id} is not in 0..{num_parts - 1}", where="--part-id")
    done: dict[str, PoolCase] = {**read_manifest(pool), **read_rejected(pool)}
    retired = read_retired(pool / RETIRED_FILE)
    for case_id, case in done.items():
        if case_id not in retired:
            check_case(pool, case, full=False)
    return (index for index in count(part_id, num_parts) if case_name(seed, index) not in done)


def generate(
    make: MakeCase, pool: Path, seed: int, indices: Iterable[int], quality_filter: QualityFilter | None = None
) -> Iterator[PoolCase]:
    """Makes cases and adds each to the pool, or to those that the quality filter rejected; yields their records.

    Args:
        make: makes one case, such as `make_case` with a generator, masks and sampling, or `InpaintedPairs.make`.
        pool: an opened pool (see `open_pool`).
        seed: of the run.
        indices: numbers of the cases to make.
        quality_filter: judges each case; without one all are kept.
    """
    for index in indices:
        case = make(seed, index)
        name, reasons = case_name(seed, index), () if quality_filter is None else quality_filter.judge(case)
        content = case.image, case.label, case.grid, case.origin
        yield write_case(pool, name, index, case.seed, *content, reasons, case.inpainted)


def kept_cases(pool: Path) -> int:
    """How many cases a pool has.

    Raises:
        PoolError: when the quality filter let none of those that were made through.
    """
    kept, rejected = read_cases(pool), read_rejected(pool)
    if rejected and not kept:
        raise PoolError(
            f"the quality filter rejected all {len(rejected)} pairs",
            where=pool,
            fix="look at those in rejected/, train the generator for longer, or generate without --filter elsewhere",
        )
    return len(kept)


def renewed(
    made: Iterable[PoolCase],
    pool: Path,
    n: int,
    seed: int,
    num_parts: int = 1,
    part_id: int = 0,
    grace_seconds: float = GRACE_SECONDS,
) -> Iterator[PoolCase]:
    """Passes cases on while they are made, and lets the oldest go when there are more than ``n``.

    Rejected pairs are kept apart for a look at them; of these, too, only the last stay. Killed at any moment and begun
    again, it goes on with what is on disk. Each part minds its share of the cases alone, so parts need not agree.

    Args:
        made: the cases, in the order of their numbers (see `lldm_aug.synthesis.generate.generate`).
        pool: their pool.
        n: cases that the pool keeps, all parts together.
        seed: of the run.
        num_parts: how many parts share the work.
        part_id: which one this is.
        grace_seconds: for how long files of a case that was let go stay on disk.

    Raises:
        ConfigError: when there are more parts than cases.
    """
    keep = len(range(part_id, n, num_parts))
    if keep == 0:
        raise ConfigError(f"a pool of {n} cases has none for part {part_id} of {num_parts}", where="--n")
    known: dict[str, PoolCase] = {**read_manifest(pool), **read_rejected(pool)}
    record = pool / RETIRED_FILE
    retired = RetiredCases(record, lambda name: [pool / file for file in known[name].files], grace_seconds)
    gone = read_retired(record)
    here: defaultdict[bool, deque[PoolCase]] = defaultdict(deque)
    for case in sorted(known.values(), key=lambda case: case.index):
        ours = case.index % num_parts == part_id and case.case_id == case_name(seed, case.index)
        if ours and case.case_id not in gone:
            here[isinstance(case, RejectedCase)].append(case)
    for case in made:
        known[case.case_id] = case
        kind = here[isinstance(case, RejectedCase)]
        kind.append(case)
        while len(kind) > keep:
            retired.retire(kind.popleft().case_id)
        retired.sweep()
        yield case


def until_stopped(made: Iterable[PoolCase], pause_seconds: float = 0.0) -> Iterator[PoolCase]:
    """Passes cases on, waiting after each, until SIGTERM or Ctrl-C ends the process's work after a whole one."""
    with stop_requests() as stop:
        for case in made:
            yield case
            if stop.wait(pause_seconds):
                return
