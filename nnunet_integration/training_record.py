"""``lldm_aug.json`` in the fold folder: what a training blended in, and how often synthetic cases were really drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.io.records import read_json, read_record, refuse_changes
from lldm_aug.record import Record

FILE = "lldm_aug.json"
STAMP = "LEAKAGE ALLOWED"
"""Key of the leaks in nnU-Net's ``summary.json``."""


class EpochCounts(Record):
    """What one epoch really drew, from the keys of its batches.

    Args:
        epoch: number of the epoch.
        ratio: share of synthetic cases that the schedule asked for; None in records of version 0.1.
        cases: slots of all batches, all ranks together.
        synthetic: slots that held a synthetic case.
        distinct: different synthetic cases among them.
        seen: different synthetic cases that the training has drawn by then.
    """

    epoch: int
    ratio: float | None = None
    cases: int
    synthetic: int
    distinct: int
    seen: int = 0


class TrainingRecord(Record):
    """Contents of the file.

    Args:
        lldm_aug_version: version that trained.
        nnunetv2_version: version of nnU-Net.
        ratio: share of synthetic cases, or the schedule.
        seed: seed of their choice.
        set_name: the prepared set; None for a ratio of 0.
        set_hash: hash over the set's description and cases.
        previous_stage: SHA-256 of the weights that segmented the synthetic cases for a cascade.
        label_fraction: of the training cases, if not all were used.
        settings: all settings that were given, whatever their source.
        leaks: validation cases that leaked; if there are any, validation scores mean nothing.
        epochs: counts of each epoch.
    """

    lldm_aug_version: str
    nnunetv2_version: str
    ratio: float | str
    seed: int
    set_name: str | None
    set_hash: str | None
    previous_stage: str | None = None
    label_fraction: float | None = None
    settings: dict[str, Any]
    leaks: tuple[str, ...]
    epochs: tuple[EpochCounts, ...] = ()

    @property
    def blend(self) -> dict[str, Any]:
        """The settings that decide the blend; lengths of training are no such setting."""
        names = ("ratio", "seed", "set_name", "set_hash", "previous_stage", "label_fraction")
        return {name: getattr(self, name) for name in names}

    def changed(self, other: TrainingRecord) -> list[str]:
        """Names of the settings of the blend in which two records differ."""
        return [key for key, value in self.blend.items() if value != other.blend[key]]

    def continued_by(self, new: TrainingRecord, epoch: int) -> TrainingRecord:
        """The record of a training that goes on at an epoch.

        Raises:
            IncompatibleResume: when the blend has changed.
        """
        fix = (
            "restore the settings, or train from the start in a results folder of its own "
            "(a configuration that inherits, such as 3d_fullres_syn50)"
        )
        refuse_changes("the blend", self.blend, new.blend, fix=fix)
        epochs = tuple(counts for counts in self.epochs if counts.epoch < epoch)
        leaks = tuple(dict.fromkeys((*self.leaks, *new.leaks)))  # what leaked once stays in the weights
        return new.model_copy(update={"epochs": epochs, "leaks": leaks})

    def with_epoch(self, counts: EpochCounts) -> TrainingRecord:
        """The record with one more epoch."""
        return self.model_copy(update={"epochs": (*self.epochs, counts)})


def read_training(folder: Path) -> TrainingRecord | None:
    """The record of a fold folder, or None where there is none.

    Raises:
        PoolError: when it is no valid record.
    """
    path = folder / FILE
    if not path.exists():
        return None
    return read_record(TrainingRecord, path, error=PoolError, fix="delete it to train from the start")


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Writes the record of a fold folder."""
    write_text(folder / FILE, record.model_dump_json(indent=2) + "\n")


def stamp_scores(folder: Path, leaks: Sequence[str]) -> None:
    """Writes leaks into ``validation/summary.json`` of a fold folder, where its scores are read from."""
    path = folder / "validation" / "summary.json"
    if path.is_file():  # benchmark trainers validate nothing
        write_json(path, {STAMP: list(leaks), **read_json(path)})
