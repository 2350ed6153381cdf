"""What several commands print in the same way, and the device that they use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.evaluation.heldout import HeldOut
    from lldm_aug.report.criterion import Criterion
    from lldm_aug.report.data_table import Table
    from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter


def echo_notes(notes: Iterable[str]) -> None:
    """Writes to stderr what has to be known beside the results."""
    for note in notes:
        click.echo(f"{click.style('note:', fg='yellow')} {note}", err=True)


def echo_table(table: Table) -> None:
    """Writes a table with its title, columns as wide as they need be."""
    from lldm_aug.report.data_table import shown

    cells = [table.columns, *(tuple(map(shown, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    click.echo(f"\n{click.style(table.title, bold=True)}")
    for row in cells:
        click.echo("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))


def echo_criteria(criteria: Iterable[Criterion], report: Path) -> None:
    """Writes each figure with its verdict and bound, then where the report is."""
    marks = {True: click.style("met   ", fg="green"), False: click.style("missed", fg="red"), None: "-     "}
    for criterion in criteria:
        value = "-" if criterion.value is None else f"{criterion.value:.3f}"
        name = criterion.figure + (f": {criterion.structure}" if criterion.structure else "")
        click.echo(f"{marks[criterion.passed]} {name:66} {value:>8}  ({criterion.goal})")
    click.echo(report)


def echo_means(training: RawDataset | None, cases: Sequence[str], segmenter: EvaluationSegmenter | None) -> None:
    """Writes the training cases that copies are looked for among, and the evaluation segmenter."""
    click.echo(f"training   {training.name if training else '-'}: {len(cases)} cases")
    click.echo(f"segmenter  {segmenter.hash[:12] if segmenter else '-'}")


def echo_heldout(heldout: HeldOut) -> None:
    """Writes which real cases lend their masks and which are compared with."""
    click.echo(f"held out   {heldout.dataset.name}: masks of {len(heldout.masks)}, {len(heldout.others)} others")


def default_device() -> str:
    """Where networks run: on a GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
