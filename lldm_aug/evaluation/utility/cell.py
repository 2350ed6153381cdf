"""One cell of a study's grid: one network, trained on one arm, scored on cases that it has not seen; and the arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.blending.ratio import check_ratio
from lldm_aug.data.splits import Fold
from lldm_aug.errors import ConfigError
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.io.records import read_json, read_record, refuse_changes
from lldm_aug.metrics.score import StructureScore
from lldm_aug.record import Record

REAL = "real"
REAL_AUG = "real-aug"
SYN = "syn"
SYN_ONLY = "syn-only"
AUTOENCODED = "autoencoded"
ARMS = {
    REAL: "the labelled real cases, the arm that all others are compared with",
    REAL_AUG: "the same with stronger classical augmentation",
    SYN: "real and synthetic cases, one arm for each ratio",
    SYN_ONLY: "synthetic cases alone",
    AUTOENCODED: "the real cases as the generator's autoencoder gives them back: its smoothing without new content",
}


@dataclass(frozen=True)
class Arm:
    """One arm.

    Args:
        kind: one of `ARMS`.
        ratio: share of synthetic cases that networks are shown.
    """

    kind: str
    ratio: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}@{self.ratio:g}" if self.kind == SYN else self.kind

    @property
    def synthetic(self) -> bool:
        """Whether it needs a pool."""
        return self.ratio > 0

    @property
    def generated(self) -> bool:
        """Whether a generator has a part in it."""
        return self.synthetic or self.kind == AUTOENCODED


def parse_arms(names: Sequence[str], ratios: Sequence[float]) -> tuple[Arm, ...]:
    """Arms by name, ``syn`` once for each ratio; the real arm comes first, whether it is named or not.

    Raises:
        ConfigError: for an unknown name, or a ratio that is not within 0..1 (0 and 1 have arms of their own).
    """
    arms = [Arm(REAL)]
    for name in names:
        if name not in ARMS:
            raise ConfigError(f"no arm {name!r}", where="--arms", fix=f"use {', '.join(ARMS)}")
        if name == SYN:
            arms += [Arm(SYN, _inner(ratio)) for ratio in ratios]
        else:
            arms.append(Arm(name, 1.0 if name == SYN_ONLY else 0.0))
    return tuple(dict.fromkeys(arms))


def _inner(ratio: float) -> float:
    if check_ratio(ratio, "--ratios") in (0, 1):
        raise ConfigError(f"{ratio:g} blends nothing", where="--ratios", fix="use the arms 'real' and 'syn-only'")
    return ratio


REQUEST_FILE = "request.json"
SCORES_FILE = "scores.json"
ANEW = "delete the cell's folder"


@dataclass(frozen=True)
class Cell:
    """What a cell is.

    Args:
        network: name of the network.
        arm: what it is trained on.
        label_fraction: of the fold's training cases that are labelled.
        fold: the fold.
        seed: of first weights, order and augmentation; the same in every arm.
    """

    network: str
    arm: Arm
    label_fraction: float
    fold: Fold
    seed: int

    def __str__(self) -> str:
        return f"{self.network} {self.arm}, label fraction {self.label_fraction:g}, fold {self.fold}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Its run folder in a study's folder."""
        return (
            out
            / "cells"
            / self.network
            / str(self.arm)
            / f"labels_{self.label_fraction:g}_fold_{self.fold}_seed_{self.seed}"
        )


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
    path = folder / REQUEST_FILE
    before = read_json(path, fix=ANEW) if path.is_file() else {}
    fix = "repeat the command that began it, or choose another --out"
    refuse_changes(f"{folder}, {cell}", before, request, fix=fix)
    scores = folder / SCORES_FILE
    return read_record(CellScores, scores, fix=ANEW) if scores.is_file() else None


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether a cell has scores."""
    return (cell.folder(out) / SCORES_FILE).is_file()


def write_scores(cell: Cell, out: Path, scores: CellScores) -> None:
    """Finishes a cell."""
    write_text(cell.folder(out) / SCORES_FILE, scores.model_dump_json() + "\n")
