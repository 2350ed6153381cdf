"""The synthetic cases of a set that renews itself which a training draws from, in its fold folder.

The main process looks at each epoch which cases there are, checks them, and offers them in a file; workers read it when
they learn of the epoch. A case that was let go keeps its files for longer than most epochs take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import append_json_line, write_text
from lldm_aug.io.records import read_records
from lldm_aug.record import Record
from nnunet_integration.prepared import PreparedSet

OFFER_FILE = "lldm_aug_cases.json"


class Offer(Record):
    """Contents of the file.

    Args:
        epoch: for which it was made.
        cases: ids of the prepared cases.
    """

    epoch: int
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Offers:
    """What the main process of a training does at each epoch.

    Args:
        folder: the fold folder.
        prepared: the set.
        check: refuses cases of the set that have seen a validation case.
    """

    folder: Path
    prepared: PreparedSet
    check: Callable[[], object]

    def make(self, epoch: int) -> None:
        """Offers the cases that the set has now; workers that are reading see either the last offer or this one.

        Raises:
            PoolError: when the set has no cases, or some are damaged.
            LeakageError: when a new one has seen a validation case.
        """
        cases = tuple(self.prepared.check_whole())
        self.check()
        write_text(self.folder / OFFER_FILE, Offer(epoch=epoch, cases=cases).model_dump_json())


def read_offer(folder: Path) -> tuple[str, ...]:
    """The cases of the last offer."""
    return Offer.model_validate_json((folder / OFFER_FILE).read_bytes()).cases


SEEN_FILE = "lldm_aug_seen.jsonl"


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
        self.path = folder / SEEN_FILE
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
