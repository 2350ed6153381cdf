"""The synthetic cases of a set that renews itself which a training draws from, in its fold folder.

The main process looks at each epoch which cases there are, checks them, and offers them in a file; workers read it when
they learn of the epoch. A case that was let go keeps its files for longer than most epochs take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.io.atomic import write_text
from lldm_aug.record import Record
from nnunet_integration.prepared import PreparedSet

FILE = "lldm_aug_cases.json"


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
        write_text(self.folder / FILE, Offer(epoch=epoch, cases=cases).model_dump_json())


def read_offer(folder: Path) -> tuple[str, ...]:
    """The cases of the last offer."""
    return Offer.model_validate_json((folder / FILE).read_bytes()).cases
