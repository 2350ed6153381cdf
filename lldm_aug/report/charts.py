"""Charts as SVG: learning curves, and forest plots of what each arm gains over real data alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from lldm_aug.report.content import Chart
from lldm_aug.report.data_table import Table, shown
from lldm_aug.report.template import render

WIDE = 30.0
"""Positive values whose largest is this many times the smallest are drawn on a logarithmic axis."""
ROUND = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """An axis.

    Args:
        low: value at its beginning.
        high: value at its end; above ``low``.
        start: pixel of its beginning.
        end: pixel of its end.
        logarithmic: whether equal ratios are equally far apart; then ``low`` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, logarithmic: bool | None = False) -> Axis:
        """An axis that holds all values; ``logarithmic=None`` lets them decide."""
        low, high = min(values), max(values)
        if logarithmic is None:
            logarithmic = low > 0 and high / low > WIDE
        if low == high:
            low, high = (low / 2, high * 2) if logarithmic else (low - 1, high + 1)
        return cls(low, high, start, end, logarithmic)

    def place(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Pixel and text of round values."""
        values = self._decades() if self.logarithmic else self._steps()
        return [(self.place(float(v)), f"{v:,}".replace("-", "−")) for v in values]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _steps(self) -> list[Decimal]:
        raw = (self.high - self.low) / 6
        power = math.floor(math.log10(raw))
        step = next(r for r in ROUND if r * 10.0**power >= raw * 0.999) * Decimal(10) ** power
        first, last = math.ceil(self.low / float(step) - 1e-9), math.floor(self.high / float(step) + 1e-9)
        return [_plain(i * step) for i in range(first, last + 1)]

    def _decades(self) -> list[Decimal]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        few = len(powers) <= 3
        values = [r * Decimal(10) ** p for p in powers for r in (ROUND[:3] if few else ROUND[:1])]
        return [_plain(v) for v in values if self.low <= v <= self.high]


def _plain(value: Decimal) -> Decimal:
    """Without an exponent or zeros at its end."""
    return value.quantize(Decimal(1)) if value == value.to_integral() else value.normalize()


WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 40
POINTS = 240
"""Most points of a line; longer curves are averaged in bins."""
STYLES = 8
"""Series that look different."""


@dataclass(frozen=True)
class Curve:
    """One series.

    Args:
        name: for the legend.
        steps: rising step numbers.
        values: as many; those that are not finite are left out.
        faint: whether it is only background to another one.
    """

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    faint: bool = False


def draw_curves(curves: Sequence[Curve], title: str, y_name: str, note: str = "") -> Chart | None:
    """Lines over training steps; None if no value is finite."""
    points = [_points(curve) for curve in curves]
    every = [point for line in points for point in line]
    if not every:
        return None
    x = Axis.around([0.0, *(s for s, _ in every)], LEFT, WIDTH - RIGHT)
    y = Axis.around([v for _, v in every], HEIGHT - BOTTOM, TOP, logarithmic=None)
    styles = _styles(curves)
    lines = [
        {"path": " ".join(f"{x.place(s)},{y.place(v)}" for s, v in line), "style": style, "name": curve.name}
        for curve, line, style in zip(curves, points, styles, strict=True)
        if line
    ]
    svg = render("curves.svg.j2", width=WIDTH, height=HEIGHT, x=x, y=y, lines=lines, title=title, y_name=y_name)
    shown = [(c.name, s) for c, s in zip(curves, styles, strict=True) if not c.faint]
    scale = "Logarithmic scale." if y.logarithmic else ""
    return Chart(title, svg, " ".join(filter(None, (note, scale))), tuple(shown) if len(shown) > 1 else ())


def smooth(curve: Curve, name: str) -> Curve:
    """Its running median over a twentieth of the points: single batches are noisy."""
    values = np.asarray(curve.values, dtype=float)
    half = max(1, len(values) // 40)
    medians = [float(np.median(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]
    return Curve(name, curve.steps, medians)


def _points(curve: Curve) -> list[tuple[float, float]]:
    finite = [(s, v) for s, v in zip(curve.steps, curve.values, strict=True) if math.isfinite(v)]
    if len(finite) <= POINTS:
        return finite
    means = [np.mean(part, axis=0) for part in np.array_split(np.array(finite), POINTS)]
    return [(float(s), float(v)) for s, v in means]


def _styles(curves: Sequence[Curve]) -> list[str]:
    styles, number = [], 0
    for curve in curves:
        styles.append("faint" if curve.faint else f"s{number % STYLES + 1}")
        number += not curve.faint
    return styles


COLUMNS = ("network", "structure", "label_fraction", "arm", "metric", "gain", "low", "high", "p", "p_holm", "n")
FOREST_WIDTH = 1080
FOREST_LEFT, FOREST_RIGHT, FOREST_TOP, FOREST_BOTTOM = 230, 320, 10, 44
LINE, HEADING, GAP = 19, 27, 7


@dataclass(frozen=True)
class GainLine:
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


def _read(table: Table) -> Iterator[GainLine]:
    for cells in table.rows:
        row: dict[str, Any] = dict(zip(table.columns, cells, strict=True))
        figures = [row[name] for name in ("gain", "low", "high")]
        if not all(isinstance(f, (int, float)) and math.isfinite(f) for f in figures):
            continue
        words = {name: shown(row[name]) for name in ("network", "structure", "label_fraction", "arm", "metric", "n")}
        p_holm = row["p_holm"] if isinstance(row["p_holm"], (int, float)) else None
        yield GainLine(**words, gain=figures[0], low=figures[1], high=figures[2], p_holm=p_holm)


def _draw(gains: Sequence[GainLine], metric: str, label_fraction: str, styles: dict[str, str]) -> Chart:
    ends = [0.0, *(v for g in gains for v in (g.low, g.high))]
    margin = 0.04 * (max(ends) - min(ends))
    x = Axis.around([min(ends) - margin, max(ends) + margin], FOREST_LEFT, FOREST_WIDTH - FOREST_RIGHT)
    headings, rows, y = [], [], float(FOREST_TOP)
    for structure in dict.fromkeys(g.structure for g in gains):
        y += HEADING
        headings.append({"y": y - 8, "text": structure.replace("_", " ")})
        before = ""
        for gain in sorted((g for g in gains if g.structure == structure), key=lambda g: g.network):
            y += GAP if before not in ("", gain.network) and len(styles) > 1 else 0
            rows.append({"y": y + LINE / 2, "gain": gain, "style": styles[gain.arm], "many": len(styles) > 1})
            y, before = y + LINE, gain.network
    title = f"Gain in {metric}, label fraction {label_fraction}"
    svg = render(
        "forest.svg.j2", width=FOREST_WIDTH, height=y + FOREST_BOTTOM, bottom=y + 6, x=x, headings=headings, rows=rows,
        title=title, metric=metric, top=FOREST_TOP, left=FOREST_LEFT, right=FOREST_WIDTH - FOREST_RIGHT,
    )  # fmt: skip
    note = (
        "Mean over cases of the difference to training on real data alone, with its interval. Filled: the interval "
        "lies on one side of zero; hollow: it includes zero. p is Holm-corrected."
    )
    return Chart(title, svg, note, tuple(styles.items()) if len(styles) > 1 else ())


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")
