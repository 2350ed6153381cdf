"""A table of results, which ``results.json`` holds, CSV files repeat and reports show; values as readers want them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

from lldm_aug.record import Record

Cell = str | int | float | None


class Table(Record):
    """One table.

    Args:
        name: short, fit for a file name, such as ``gains``.
        title: what it shows, in words.
        columns: headings; figures name their unit.
        rows: cells, one row as long as there are columns; None is shown as a dash.
        note: how it has to be read.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def csv(self) -> str:
        """The table with its headings as comma-separated values, figures in full."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return stream.getvalue()

    def markdown(self) -> str:
        """The table as GitHub shows it, figures to four digits."""
        head = ["| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
        return "\n".join([*head, *("| " + " | ".join(map(shown, row)) + " |" for row in self.rows)]) + "\n"


def shown(cell: Cell) -> str:
    """A cell in words: figures to four significant digits, a dash for nothing."""
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def in_words(value: object) -> str:
    """Lists and mappings joined by commas, "none" for nothing, figures to four digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(v)}" for name, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def heading(name: str) -> str:
    """The name of a field as a heading."""
    return name.replace("_", " ")


def slug(name: str) -> str:
    """The name as a part of a file name that is safe on every system."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
