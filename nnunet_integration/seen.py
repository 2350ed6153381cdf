"""``lldm_aug_seen.jsonl`` in the fold folder: which synthetic cases a training drew first in which epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import append_json_line, write_text
from lldm_aug.io.records import read_records
from lldm_aug.record import Record

FILE = "lldm_aug_seen.jsonl"


class NewCases(Record):
    """One line.

    Args:
        epoch: the epoch.
        cases: those that no epoch before had drawn.
    """

    epoch: int
    cases: tuple[str, ...]


class SeenCases:
    """All synthetic cases that a training has drawn; their number grows for as long as there are new ones.

    Args:
        folder: the fold folder.
        epoch: where the training begins or goes on; what later epochs of an interrupted training drew is forgotten.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self.path = folder / FILE
        lines = read_records(NewCases, self.path, error=PoolError)
        kept = [line for line in lines if line.epoch < epoch]
        if kept != lines:
            write_text(self.path, "".join(json.dumps(line.model_dump(mode="json")) + "\n" for line in kept))
        self._cases = {case for line in kept for case in line.cases}

    def add(self, epoch: int, drawn: Iterable[str]) -> int:
        """Adds what an epoch drew; returns how many different ones there are by now."""
        new = sorted({*drawn} - self._cases)
        self._cases.update(new)
        append_json_line(self.path, NewCases(epoch=epoch, cases=tuple(new)).model_dump(mode="json"))
        return len(self._cases)
