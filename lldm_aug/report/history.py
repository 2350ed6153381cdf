"""What was trained on what, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.report.table import Table


@dataclass(frozen=True)
class SeenCases:
    """Cases that some stages have in common.

    Args:
        stages: their names.
        dataset: name of the data set.
        cases: SHA-256 of the mask file of each case id.
    """

    stages: tuple[str, ...]
    dataset: str
    cases: dict[str, str]


def history_table(stages: Sequence[StageProvenance]) -> Table:
    """A line for each stage."""
    return Table(
        name="training",
        title="Training cases of each stage",
        columns=("stage", "data set", "fold", "cases", "split"),
        rows=tuple((s.stage, s.dataset, str(s.fold), len(s.cases), s.split_hash[:12]) for s in stages),
        note="Split: the beginning of the hash over the fold's training and validation cases.",
    )


def seen_cases(stages: Sequence[StageProvenance]) -> tuple[SeenCases, ...]:
    """The cases of each stage, those of stages that saw the same only once."""
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[StageProvenance]] = {}
    for stage in stages:
        groups.setdefault((stage.dataset, frozenset(stage.cases.items())), []).append(stage)
    return tuple(
        SeenCases(tuple(stage.stage for stage in alike), alike[0].dataset, dict(sorted(alike[0].cases.items())))
        for alike in groups.values()
    )
