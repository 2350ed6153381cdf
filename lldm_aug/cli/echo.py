"""What several commands say, and find out, in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lldm_aug.report.table import Table


def echo_notes(notes: Iterable[str]) -> None:
    """Writes to stderr what has to be known beside the results."""
    for note in notes:
        click.echo(f"{click.style('note:', fg='yellow')} {note}", err=True)


def echo_table(table: Table) -> None:
    """Writes a table with its title, columns as wide as they need be."""
    from lldm_aug.report.table import shown

    cells = [table.columns, *(tuple(map(shown, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    click.echo(f"\n{click.style(table.title, bold=True)}")
    for row in cells:
        click.echo("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))


def default_device() -> str:
    """Where networks run: on a GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
