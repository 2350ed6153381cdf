"""``rejected.jsonl``: pairs that the quality_filter kept out of the pool, and why; their files are in ``rejected/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lldm_aug.io.atomic import append_json_line
from lldm_aug.pool.manifest import PoolCase, read_lines
from lldm_aug.record import Record

REJECTED_FILE = "rejected.jsonl"
REJECTED_FOLDER = "rejected/"


class Reason(Record):
    """A check that a pair did not pass.

    Args:
        check: what was measured.
        structure: of which structure, if of one.
        value: what was found.
        low: the least that would have passed.
        high: the most.
    """

    check: str
    structure: str | None = None
    value: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """What it is counted under, such as ``dice hcc``."""
        return self.check if self.structure is None else f"{self.check} {self.structure}"


class RejectedCase(PoolCase):
    """One line of ``rejected.jsonl``: a case as in the manifest, and why it is not there.

    Args:
        reasons: the checks that it did not pass.
    """

    reasons: tuple[Reason, ...]


def append_rejected(pool: Path, case: RejectedCase) -> None:
    """Adds a rejected pair whose files are already on disk."""
    append_json_line(pool / REJECTED_FILE, case.model_dump(mode="json"))


def read_rejected(pool: Path) -> dict[str, RejectedCase]:
    """All rejected pairs of a pool by id, sorted.

    Raises:
        PoolError: when a line is no valid record, or two lines of one case differ.
    """
    return read_lines(pool / REJECTED_FILE, RejectedCase)


def count_reasons(cases: Iterable[RejectedCase]) -> dict[str, int]:
    """How many pairs were rejected for each reason, the most frequent first; a pair may have several."""
    counts = Counter(name for case in cases for name in {reason.name for reason in case.reasons})
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
