"""The templates; whatever they are given is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from lldm_aug.report.data_table import Table, heading, shown, slug

ASSETS = Path(__file__).resolve().parent / "assets"


def render(name: str, **values: object) -> Markup:
    """A template filled in.

    Args:
        name: its file in ``assets/templates``.
        values: what it may use.
    """
    return Markup(_environment().get_template(name).render(values))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shown=shown, heading=heading, slug=slug, numeric=_numeric)
    return environment


def _numeric(table: Table, column: int) -> bool:
    """Whether a column holds figures alone."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and not any(isinstance(cell, str) for cell in cells)
