"""What a finished stage hands to the next: weights, facts and provenance in one checked folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lldm_aug.errors import CheckpointError
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.io.records import read_record, refuse_changes
from lldm_aug.io.weights import check_sums, load_weights, save_tensors, write_sums
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record

STAGE_FILE = "stage.json"


class StageRecord(Record):
    """What ``stage.json`` holds.

    Args:
        facts: what the next stage needs to know.
        stages: provenance of this stage and those that it built on.
    """

    facts: dict[str, Any]
    stages: tuple[StageProvenance, ...]


@dataclass(frozen=True)
class Export:
    """A finished stage on disk.

    Args:
        folder: where.
        hash: its identity.
        record: facts and provenance.
    """

    folder: Path
    hash: str
    record: StageRecord

    def fill(self, name: str, module: nn.Module) -> None:
        """Loads one network's weights.

        Raises:
            CheckpointError: when they do not fit.
        """
        load_weights(module, self.folder / f"{name}.safetensors")

    def require(self, name: str, value: Any) -> None:
        """Raises IncompatibleResume when a fact is not the value that the settings now ask for."""
        fix = "use the same settings for all stages of a run, or another --out"
        refuse_changes(self.folder, {name: self.record.facts.get(name)}, {name: value}, fix=fix)


def write_export(
    folder: Path, modules: Mapping[str, nn.Module], facts: dict[str, Any], stages: tuple[StageProvenance, ...]
) -> None:
    """Writes a finished stage atomically."""
    with atomic_folder(folder) as temporary:
        for name, module in modules.items():
            save_tensors(temporary / f"{name}.safetensors", module.state_dict())
        record = StageRecord(facts=facts, stages=stages)
        (temporary / STAGE_FILE).write_text(record.model_dump_json(indent=2), encoding="utf-8")
        write_sums(temporary)


def read_export(folder: Path, needed_by: str) -> Export:
    """A finished stage.

    Raises:
        CheckpointError: when it is not there yet, or damaged.
    """
    if not folder.is_dir():
        stage = folder.parent.name
        raise CheckpointError(
            f"'{needed_by}' builds on stage '{stage}', which is not finished here",
            where=folder.parent.parent,
            fix=f"run 'lldm-aug train {stage}' with the same --out first",
        )
    identity = check_sums(folder)
    return Export(folder, identity, read_record(StageRecord, folder / STAGE_FILE))
