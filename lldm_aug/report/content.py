"""What a page shows, before it becomes HTML: chapters of parts with tables, charts and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.report.data_table import Table
from lldm_aug.report.embedded import Pair, Picture
from lldm_aug.report.leaks import LeakState


@dataclass(frozen=True)
class Chart:
    """A plot.

    Args:
        title: what it shows.
        svg: the drawing; its colours are those of the page.
        note: how it has to be read.
        legend: name and style class of each series.
    """

    title: str
    svg: Markup
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Part:
    """A part of a chapter.

    Args:
        title: its heading.
        text: paragraphs.
        tables: shown in full up to a number of rows; the rest is in their CSV files.
        charts: plots.
        pictures: embedded images.
        folded: whether the reader has to open it.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show but the title."""
        return not (self.text or self.tables or self.charts or self.pictures)


@dataclass(frozen=True)
class Chapter:
    """All about one folder.

    Args:
        name: the folder's name.
        kind: what the folder is, in words.
        facts: what is known of it in short.
        stages: the training that lies behind it; empty where none is on record.
        leak: what is known of validation cases in it; None where the question does not arise.
        parts: the parts with anything in them.
        pairs: for the slice viewer.
        notes: remarks that a reader must not miss.
    """

    name: str
    kind: str
    facts: dict[str, str]
    stages: tuple[StageProvenance, ...] = ()
    leak: LeakState | None = None
    parts: tuple[Part, ...] = ()
    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those of all parts."""
        return tuple(table for part in self.parts for table in part.tables)
