"""A prepared set that follows a pool which renews itself: new cases are preprocessed, retired ones let go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.pool.manifest import read_cases
from lldm_aug.pool.retired import GRACE_SECONDS
from nnunet_integration.prepare import Preparation, begin, complete


def follow_pool(
    pool: Path,
    plan: Callable[[], Preparation],
    wait: Callable[[], bool],
    num_processes: int = 1,
    grace_seconds: float = GRACE_SECONDS,
) -> Iterator[Preparation]:
    """Brings the set up to the pool again and again; yields what it did after each round in which there was something.

    It waits for a pool that has no cases yet. Each round plans anew, so that new cases go through the same checks as
    the first ones. Killed at any moment and begun again, it goes on with what is on disk.

    Args:
        pool: the pool's folder.
        plan: checks the pool and says what is missing (see `plan_preparation`).
        wait: waits for a while between rounds; True ends them.
        num_processes: processes to preprocess with.
        grace_seconds: for how long files of a case that was let go stay on disk.

    Raises:
        LldmAugError: as `plan_preparation`, or when a case that the pool still has is damaged.
    """
    while not read_cases(pool):
        if wait():
            return
    preparation = plan()
    prepared = preparation.prepared
    begin(preparation)
    retired = prepared.retired(grace_seconds)
    while True:
        _catch_up(preparation, num_processes)
        gone = _outlived(list(prepared.cases()), {*read_cases(pool)})
        for case_id in gone:
            retired.retire(case_id)
        retired.sweep()
        if gone or preparation.missing:
            yield preparation
        if wait():
            return
        preparation = plan()


def _outlived(prepared: list[str], pool: set[str]) -> list[str]:
    """Prepared cases to let go, oldest first: no more than leave as many as the pool has.

    A pool may renew itself faster than its cases are prepared; the set then lags behind, but is never left empty.
    """
    return [case for case in prepared if case not in pool][: max(0, len(prepared) - len(pool))]


def _catch_up(preparation: Preparation, num_processes: int) -> None:
    """Preprocesses what is missing, but for cases that the pool lets go meanwhile."""
    try:
        for _ in complete(preparation, num_processes):
            pass
    except PoolError:
        # Read again: a file that is missing since its case was retired is no fault.
        if {case.case_id for case in preparation.missing} <= {*read_cases(preparation.pool.folder)}:
            raise
