"""``retired.jsonl``: cases that a pool which renews itself has let go. Who still reads one has a while to finish."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import append_json_line
from lldm_aug.io.records import read_records
from lldm_aug.record import Record

RETIRED_FILE = "retired.jsonl"
GRACE_SECONDS = 900.0
"""Files of a retired case stay this long: a reader that learns once an epoch which cases there are can finish it."""


class Retirement(Record):
    """One line of the file.

    Args:
        case_id: the case.
        at: when it was let go, in seconds since 1970 (UTC).
    """

    case_id: str
    at: float


class RetiredCases:
    """Lets cases go: first on record, so that nobody begins to read them, later from disk.

    Args:
        path: the file of the record.
        files: the files of a case, by its id.
        grace_seconds: time between the two.
    """

    def __init__(
        self, path: Path, files: Callable[[str], Iterable[Path]], grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.path, self.files, self.grace_seconds = path, files, grace_seconds
        left = (
            line
            for line in read_records(Retirement, path, error=PoolError)
            if any(file.exists() for file in files(line.case_id))
        )
        self._waiting = deque(sorted(left, key=lambda line: line.at))

    def retire(self, case_id: str) -> None:
        """Lets a case go."""
        line = Retirement(case_id=case_id, at=time.time())
        append_json_line(self.path, line.model_dump(mode="json"))
        self._waiting.append(line)

    def sweep(self) -> None:
        """Deletes the files of cases that were let go long enough ago."""
        while self._waiting and self._waiting[0].at <= time.time() - self.grace_seconds:
            for file in self.files(self._waiting[0].case_id):
                file.unlink(missing_ok=True)
            self._waiting.popleft()


def read_retired(path: Path) -> frozenset[str]:
    """Ids of the cases that were let go; none without the file.

    Raises:
        PoolError: when a line is no valid record.
    """
    return frozenset(line.case_id for line in read_records(Retirement, path, error=PoolError))
