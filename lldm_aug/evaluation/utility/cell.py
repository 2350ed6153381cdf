"""One cell of a study's grid: one network, trained on one arm, scored on cases that it has not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lldm_aug.data.splits import Fold
from lldm_aug.errors import CheckpointError, IncompatibleResume
from lldm_aug.evaluation.utility.arms import Arm
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.metrics.score import StructureScore
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
    """Opens a cell's folder; returns its scores if it is finished. Arguments and errors as `scores_of`."""
    folder = cell.folder(out)
    if not (folder / REQUEST_FILE).is_file() and not (folder / SCORES_FILE).is_file():
        write_json(folder / REQUEST_FILE, request)
    return scores_of(cell, out, request)


def scores_of(cell: Cell, out: Path, request: dict[str, object]) -> CellScores | None:
    """The scores of a cell if it is finished.

    Args:
        cell: which; it was begun.
        out: the study's folder.
        request: all that decides its figures, as JSON would give it back.

    Raises:
        IncompatibleResume: when it was begun with other data or settings; says which.
        CheckpointError: when its files cannot be read.
    """
    folder = cell.folder(out)
    before = _read(folder / REQUEST_FILE)
    changed = _differences(before, request)
    if changed:
        raise IncompatibleResume(
            f"cell {cell} was begun with another {', '.join(changed)}",
            where=folder,
            fix="repeat the command that began it, or choose another --out",
        )
    return _read_scores(folder / SCORES_FILE)


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether a cell has scores."""
    return (cell.folder(out) / SCORES_FILE).is_file()


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Names of what differs; of a group such as the settings, with those within it in brackets."""
    names = []
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            key += f" ({', '.join(_differences(one, other))})"
        names.append(key)
    return names


def _read(path: Path) -> dict[str, object]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise CheckpointError("cannot be read", where=path, fix="delete the cell's folder") from error


def write_scores(cell: Cell, out: Path, scores: CellScores) -> None:
    """Finishes a cell."""
    write_text(cell.folder(out) / SCORES_FILE, scores.model_dump_json() + "\n")


def _read_scores(path: Path) -> CellScores | None:
    if not path.is_file():
        return None
    try:
        return CellScores.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError("cannot be read", where=path, fix="delete the cell's folder") from error
