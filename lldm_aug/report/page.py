"""The page itself: chapters in one HTML file that needs no other, and their figures as JSON and CSV beside it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lldm_aug.errors import LldmAugError
from lldm_aug.io.atomic import atomic_folder, write_text
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record
from lldm_aug.report.content import Chapter
from lldm_aug.report.data_table import Table, slug
from lldm_aug.report.embedded import BUDGET_MB, Pair
from lldm_aug.report.leaks import LeakState
from lldm_aug.report.template import ASSETS, render
from lldm_aug.version import __version__

NIIVUE = ASSETS / "third_party" / "niivue"
DATA_FILE = "results.json"
ROWS = 40
"""Rows of a table in the page; longer ones are continued in their CSV file."""


class ChapterRecord(Record):
    """A chapter for machines.

    Args:
        name: the folder's name.
        kind: what it is.
        facts: as on the page.
        stages: with the hash of every case's mask.
        leak: what is known of validation cases.
        tables: in full.
        notes: remarks.
    """

    name: str
    kind: str
    facts: dict[str, str]
    stages: tuple[StageProvenance, ...]
    leak: LeakState | None
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


class ReportRecord(Record):
    """``results.json`` of a report.

    Args:
        lldm_aug_version: version that made it.
        title: the page's.
        chapters: one for each folder.
    """

    lldm_aug_version: str
    title: str
    chapters: tuple[ChapterRecord, ...]


def write_report(path: Path, chapters: Sequence[Chapter], title: str) -> Path:
    """Writes the page, and a folder of figures beside it (``report_data`` for ``report.html``).

    Args:
        path: the HTML file.
        chapters: at least one.
        title: stands on top.

    Returns:
        The folder of figures.

    Raises:
        LldmAugError: when there is another folder of that name.
    """
    data = path.with_name(f"{path.stem}_data")
    if data.exists() and not (data / DATA_FILE).is_file():  # it would be replaced
        raise LldmAugError("is no report's folder of figures", where=data, fix="move it, or choose another --out")
    _write_data(data, chapters, title)
    write_text(path, html(chapters, title, data.name))
    return data


def html(chapters: Sequence[Chapter], title: str, data: str) -> str:
    """The page as text.

    Args:
        chapters: at least one.
        title: stands on top.
        data: the folder of figures, relative to the page.
    """
    pairs, left_out = _within_budget([pair for chapter in chapters for pair in chapter.pairs])
    page = render(
        "page.html.j2",
        title=title,
        version=__version__,
        chapters=[_view(chapter, f"c{i}", csv_prefix(i, chapter)) for i, chapter in enumerate(chapters, 1)],
        data=data,
        max_rows=ROWS,
        style=_text(ASSETS / "report.css"),
        pairs=[pair.__dict__ for pair in pairs],
        left_out=left_out,
        budget=BUDGET_MB,
        script=_text(ASSETS / "viewer.js"),
        niivue=_compressed(NIIVUE / "niivue.umd.js") if pairs else "",
        licences=[(name, _text(NIIVUE / name)) for name in ("LICENSE", "LICENSES-bundled.txt")] if pairs else [],
    )
    return str(page)


def csv_prefix(number: int, chapter: Chapter) -> str:
    """What the names of a chapter's CSV files begin with; safe on every system."""
    return f"{number}_{slug(chapter.name)}"


def _view(chapter: Chapter, anchor: str, prefix: str) -> dict[str, Any]:
    return {
        "chapter": chapter,
        "anchor": anchor,
        "prefix": prefix,
        "history": history_table(chapter.stages) if chapter.stages else None,
        "seen": seen_cases(chapter.stages),
    }


def _write_data(folder: Path, chapters: Sequence[Chapter], title: str) -> None:
    kept = tuple(
        ChapterRecord(
            name=c.name, kind=c.kind, facts=c.facts, stages=c.stages, leak=c.leak, tables=c.tables, notes=c.notes
        )
        for c in chapters
    )
    record = ReportRecord(lldm_aug_version=__version__, title=title, chapters=kept)
    with atomic_folder(folder) as temporary:
        (temporary / DATA_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for number, chapter in enumerate(chapters, 1):
            for table in chapter.tables:
                name = f"{csv_prefix(number, chapter)}.{slug(table.name)}.csv"
                (temporary / name).write_text(table.csv(), encoding="utf-8")


def _within_budget(pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
    kept, megabytes = [], 0.0
    for pair in pairs:
        megabytes += pair.megabytes
        if megabytes <= BUDGET_MB:
            kept.append(pair)
    return kept, len(pairs) - len(kept)


def _text(path: Path) -> Markup:
    return Markup(path.read_text(encoding="utf-8"))


def _compressed(path: Path) -> str:
    return base64.b64encode(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0)).decode("ascii")


@dataclass(frozen=True)
class SeenRow:
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


def seen_cases(stages: Sequence[StageProvenance]) -> tuple[SeenRow, ...]:
    """The cases of each stage, those of stages that saw the same only once."""
    groups: dict[tuple[str, frozenset[tuple[str, str]]], list[StageProvenance]] = {}
    for stage in stages:
        groups.setdefault((stage.dataset, frozenset(stage.cases.items())), []).append(stage)
    return tuple(
        SeenRow(tuple(stage.stage for stage in alike), alike[0].dataset, dict(sorted(alike[0].cases.items())))
        for alike in groups.values()
    )
