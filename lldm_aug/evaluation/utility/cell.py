"""One cell of a study's grid: one network, trained on one arm, scored on cases that it has not seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lldm_aug.data.splits import Fold
from lldm_aug.errors import CheckpointError, IncompatibleResume
from lldm_aug.evaluation.metrics.score import StructureScore
from lldm_aug.evaluation.utility.arms import Arm
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.record import Record

REQUEST_FILE = "request.json"
SCORES_FILE = "scores.json"


@dataclass(frozen=True)
class Cell:
    """What a cell is.

    Args:
        network: name of the network.
        arm: what it is trained on.
        share: of the fold's training cases that are labelled.
        fold: the fold.
        seed: of first weights, order and augmentation; the same in every arm.
    """

    network: str
    arm: Arm
    share: float
    fold: Fold
    seed: int

    def __str__(self) -> str:
        return f"{self.network} {self.arm}, share {self.share:g}, fold {self.fold}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Its run folder in a study's folder."""
        return out / "cells" / self.network / str(self.arm) / f"share_{self.share:g}_fold_{self.fold}_seed_{self.seed}"


class CellScores(Record):
    """What ``scores.json`` holds.

    Args:
        seconds: that training and scoring took.
        cases: scores of each structure, by case.
    """

    seconds: float
    cases: dict[str, tuple[StructureScore, ...]]


def begin(cell: Cell, out: Path, request: dict[str, object]) -> CellScores | None:
    """Opens a cell's folder; returns its scores if it is finished.

    Args:
        cell: which.
        out: the study's folder.
        request: all that decides its figures, as JSON would give it back.

    Raises:
        IncompatibleResume: when it was begun with other data or settings.
        CheckpointError: when its scores cannot be read.
    """
    folder = cell.folder(out)
    before = _read(folder / REQUEST_FILE)
    if before is None:
        write_json(folder / REQUEST_FILE, request)
    elif before != request:
        changed = sorted(key for key in {*before, *request} if before.get(key) != request.get(key))
        raise IncompatibleResume(
            f"the cell was begun with another {', '.join(changed)}", where=folder, fix="choose another --out"
        )
    return read_scores(cell, out)


def _read(path: Path) -> dict[str, object] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (ValueError, TypeError) as error:
        raise CheckpointError("cannot be read", where=path, fix="delete the cell's folder") from error


def write_scores(cell: Cell, out: Path, scores: CellScores) -> None:
    """Finishes a cell."""
    write_text(cell.folder(out) / SCORES_FILE, scores.model_dump_json() + "\n")


def read_scores(cell: Cell, out: Path) -> CellScores | None:
    """The scores of a finished cell.

    Raises:
        CheckpointError: when they cannot be read.
    """
    path = cell.folder(out) / SCORES_FILE
    if not path.is_file():
        return None
    try:
        return CellScores.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError("cannot be read", where=path, fix="delete the cell's folder") from error
