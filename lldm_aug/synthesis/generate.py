"""Filling a pool: what is in the manifest is done, the rest is made, in any order and by any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, takewhile
from pathlib import Path

from lldm_aug.errors import ConfigError, PoolError
from lldm_aug.pool.dataset import check_case
from lldm_aug.pool.manifest import PoolCase, read_cases, read_manifest
from lldm_aug.pool.rejected import read_rejected
from lldm_aug.pool.retired import RETIRED_FILE, read_retired
from lldm_aug.pool.writer import case_name, write_case
from lldm_aug.synthesis.case import SyntheticCase
from lldm_aug.synthesis.quality_filter import QualityFilter

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
