"""Learning curves as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.report.axis import Axis
from lldm_aug.report.content import Chart
from lldm_aug.report.template import render

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
