"""A pool that renews itself: for each new case the oldest one goes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from lldm_aug.errors import ConfigError
from lldm_aug.interrupt import stop_requests
from lldm_aug.pool.manifest import PoolCase, read_manifest
from lldm_aug.pool.rejected import RejectedCase, read_rejected
from lldm_aug.pool.retired import GRACE_SECONDS, RETIRED_FILE, RetiredCases, read_retired
from lldm_aug.pool.writer import case_name


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
