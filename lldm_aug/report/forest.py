"""Forest plots of the table ``gains``: what each arm gains over real data alone, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lldm_aug.report.axis import Axis
from lldm_aug.report.content import Chart
from lldm_aug.report.curves import STYLES
from lldm_aug.report.table import Table, shown
from lldm_aug.report.template import render

COLUMNS = ("network", "structure", "label_fraction", "arm", "metric", "gain", "low", "high", "p", "p_holm", "n")
WIDTH = 1080
LEFT, RIGHT, TOP, BOTTOM = 230, 320, 10, 44
LINE, HEADING, GAP = 19, 27, 7


@dataclass(frozen=True)
class Gain:
    """A row of the table."""

    network: str
    structure: str
    label_fraction: str
    arm: str
    metric: str
    gain: float
    low: float
    high: float
    p_holm: float | None
    n: str

    @property
    def verdict(self) -> str:
        """``above``, ``below`` or ``across`` zero: where the whole interval lies."""
        return "above" if self.low > 0 else "below" if self.high < 0 else "across"

    @property
    def words(self) -> str:
        """The figures."""
        p = "" if self.p_holm is None else f"   p {self.p_holm:.2g}"
        return f"{_signed(self.gain)} [{_signed(self.low)}, {_signed(self.high)}]{p}   n {self.n}"


def forest_charts(table: Table) -> dict[str, list[Chart]]:
    """Charts of each metric, one for each share of labelled cases; rows that have no figures are left out."""
    if not set(COLUMNS) <= set(table.columns):
        return {}
    gains = list(_read(table))
    arms = list(dict.fromkeys(gain.arm for gain in gains))
    styles = {arm: f"s{i % STYLES + 1}" for i, arm in enumerate(arms)}
    charts: dict[str, list[Chart]] = {}
    for metric, label_fraction in dict.fromkeys((gain.metric, gain.label_fraction) for gain in gains):
        shown_here = [g for g in gains if (g.metric, g.label_fraction) == (metric, label_fraction)]
        charts.setdefault(metric, []).append(_draw(shown_here, metric, label_fraction, styles))
    return charts


def _read(table: Table) -> Iterator[Gain]:
    for cells in table.rows:
        row: dict[str, Any] = dict(zip(table.columns, cells, strict=True))
        figures = [row[name] for name in ("gain", "low", "high")]
        if not all(isinstance(f, (int, float)) and math.isfinite(f) for f in figures):
            continue
        words = {name: shown(row[name]) for name in ("network", "structure", "label_fraction", "arm", "metric", "n")}
        p_holm = row["p_holm"] if isinstance(row["p_holm"], (int, float)) else None
        yield Gain(**words, gain=figures[0], low=figures[1], high=figures[2], p_holm=p_holm)


def _draw(gains: Sequence[Gain], metric: str, label_fraction: str, styles: dict[str, str]) -> Chart:
    ends = [0.0, *(v for g in gains for v in (g.low, g.high))]
    margin = 0.04 * (max(ends) - min(ends))
    x = Axis.around([min(ends) - margin, max(ends) + margin], LEFT, WIDTH - RIGHT)
    headings, rows, y = [], [], float(TOP)
    for structure in dict.fromkeys(g.structure for g in gains):
        y += HEADING
        headings.append({"y": y - 8, "text": structure.replace("_", " ")})
        before = ""
        for gain in sorted((g for g in gains if g.structure == structure), key=lambda g: g.network):
            y += GAP if before not in ("", gain.network) and len(styles) > 1 else 0
            rows.append({"y": y + LINE / 2, "gain": gain, "style": styles[gain.arm], "many": len(styles) > 1})
            y, before = y + LINE, gain.network
    title = f"Gain in {metric}, share {label_fraction} of the labelled cases"
    svg = render(
        "forest.svg.j2", width=WIDTH, height=y + BOTTOM, bottom=y + 6, x=x, headings=headings, rows=rows, title=title,
        metric=metric, top=TOP, left=LEFT, right=WIDTH - RIGHT,
    )  # fmt: skip
    note = (
        "Mean over cases of the difference to training on real data alone, with its interval. Filled: the interval "
        "lies on one side of zero; hollow: it includes zero. p is Holm-corrected."
    )
    return Chart(title, svg, note, tuple(styles.items()) if len(styles) > 1 else ())


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")
