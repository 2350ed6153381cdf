"""A picture of cases: three planes each, the image alone and with the outlines of its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.io.atomic import atomic_file
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.pictures.planes import PLANES, IntensityWindow, Plane, best_slice, robust_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lldm_aug.data.raw import Case

COLOURS = ("#8ce99a", "#4dabf7", "#da77f2", "#ff8f3f", "#ffe066", "#63e6be", "#ff8fab", "#b2a8ff")
"""Outline of label 1, 2, ...; repeated when there are more."""

TILE_INCHES = 2.0
GAP_INCHES = 0.06
TOP_INCHES = 0.7
CAPTION_INCHES = 0.24
DPI = 140
BACKGROUND = "#101216"
BRIGHT = "#e9ecef"
DIM = "#9aa2ad"


@dataclass(frozen=True)
class MosaicRow:
    """One case.

    Args:
        image: (X, Y, Z) in RAS order (right, anterior and superior grow with the index).
        label: (X, Y, Z) integers.
        spacing_mm: voxel size.
        caption: what stands above it.
        slices_from: another mask to choose the slices by, so that two rows of one case show the same.
        window: grey values shown as black and as white; None takes them from the image and the mask that guides.
    """

    image: np.ndarray
    label: np.ndarray
    spacing_mm: tuple[float, float, float]
    caption: str
    slices_from: np.ndarray | None = None
    window: IntensityWindow | None = None

    @classmethod
    def of(cls, case: Case, caption: str) -> MosaicRow:
        """A case whatever its axes: its first channel."""
        image, label = to_canonical(case.image[0], case.grid), to_canonical(case.label, case.grid)
        return cls(image, label, canonical_grid(case.grid).spacing_mm, caption)

    @property
    def guide(self) -> np.ndarray:
        """The mask that decides the slices, and the window if none is given."""
        return self.label if self.slices_from is None else self.slices_from


def write_mosaic(path: Path, rows: Sequence[MosaicRow], *, title: str, schema: LabelSchema = HBP) -> None:
    """Writes a PNG with a line of pictures for each case; equal input gives equal bytes.

    Slices go through the largest area of the rarest structure present. A case has one window and one scale.

    Args:
        path: the PNG file.
        rows: the cases, at least one.
        title: stands at the top left.
        schema: gives the structures' names for the legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 2 * len(PLANES)
    width = columns * (TILE_INCHES + GAP_INCHES) + GAP_INCHES
    height = TOP_INCHES + len(rows) * (TILE_INCHES + CAPTION_INCHES + GAP_INCHES)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _heading(figure, rows, title, schema)
    for number, row in enumerate(rows):
        _draw_row(figure, row, height - TOP_INCHES - number * (TILE_INCHES + CAPTION_INCHES + GAP_INCHES))
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})


def colour_of(value: int) -> str:
    """The outline's colour of a label."""
    return COLOURS[(value - 1) % len(COLOURS)]


def _heading(figure: Figure, rows: Sequence[MosaicRow], title: str, schema: LabelSchema) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    left, top = 2 * GAP_INCHES / width, 1 - 0.14 / height
    figure.text(left, top, title, color=BRIGHT, fontsize=13, fontweight="bold", va="top", parse_math=False)
    names = {value: name for name, value in schema.values.items()}
    present = sorted({int(v) for row in rows for v in np.unique(row.label) if v > 0})
    lines = [
        Line2D([], [], color=colour_of(v), linewidth=2.4, label=names.get(v, f"label {v}").replace("_", " "))
        for v in present
    ]
    if lines:
        legend = figure.legend(
            handles=[*lines],
            loc="upper right",
            bbox_to_anchor=(1 - left / 2, 1 - 0.06 / height),
            ncols=len(lines),
            frameon=False,
            fontsize=9,
            labelcolor=BRIGHT,
            handlelength=1.1,
            columnspacing=1.4,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    for i, plane in enumerate(PLANES):
        centre = GAP_INCHES + (2 * i + 1) * (TILE_INCHES + GAP_INCHES) - GAP_INCHES / 2
        place = (centre / width, 1 - (TOP_INCHES - 0.1) / height)
        figure.text(*place, plane.name, color=DIM, fontsize=9, ha="center", va="bottom")


def _draw_row(figure: Figure, row: MosaicRow, top: float) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        2 * GAP_INCHES / width,
        (top - 0.17) / height,
        row.caption,
        color=DIM,
        fontsize=8.5,
        va="baseline",
        parse_math=False,
    )
    window = row.window or robust_window(row.image, row.guide)
    side = max(max(plane.size_mm(row.image.shape, row.spacing_mm)) for plane in PLANES)
    tile = (TILE_INCHES / width, TILE_INCHES / height)
    bottom = (top - CAPTION_INCHES - TILE_INCHES) / height
    for i, plane in enumerate(PLANES):
        for outlined in (False, True):
            left = (GAP_INCHES + (2 * i + outlined) * (TILE_INCHES + GAP_INCHES)) / width
            axes = figure.add_axes((left, bottom, *tile))
            _draw_slice(axes, row, plane, side, window, outlined)
            if i == 0 and not outlined:
                _scale_bar(axes, side)


def _draw_slice(axes: Axes, row: MosaicRow, plane: Plane, side: float, window: IntensityWindow, outlined: bool) -> None:
    index = best_slice(row.guide, plane)
    wide, high = plane.size_mm(row.image.shape, row.spacing_mm)
    extent = (-wide / 2, wide / 2, -high / 2, high / 2)
    axes.set_facecolor("black")
    axes.imshow(
        plane.slice(row.image, index),
        cmap="gray",
        vmin=window.low,
        vmax=window.high,
        extent=extent,
        interpolation="bilinear",
    )
    if outlined:
        _outline(axes, plane.slice(row.label, index), extent)
    axes.set(xlim=(-side / 2, side / 2), ylim=(-side / 2, side / 2), xticks=[], yticks=[])
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outline(axes: Axes, label: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    # A rim of background closes the outlines of what is cut by the picture's edge.
    padded = np.pad(label, 1)[::-1]
    step_x, step_y = (extent[1] - extent[0]) / label.shape[1], (extent[3] - extent[2]) / label.shape[0]
    x = extent[0] + (np.arange(padded.shape[1]) - 0.5) * step_x
    y = extent[2] + (np.arange(padded.shape[0]) - 0.5) * step_y
    for value in (int(v) for v in np.unique(label) if v > 0):
        inside = (padded == value).astype(np.float32)
        axes.contour(x, y, inside, levels=[0.5], colors=[colour_of(value)], linewidths=0.9)


def _scale_bar(axes: Axes, side: float) -> None:
    from matplotlib.patheffects import withStroke

    length = max((n for n in (1, 2, 5, 10, 20, 50, 100) if n <= side / 3), default=1)
    left = bottom = -0.45 * side
    rim = [withStroke(linewidth=2, foreground="black")]
    axes.plot(
        [left, left + length], [bottom, bottom], color=BRIGHT, linewidth=2, solid_capstyle="butt", path_effects=rim
    )
    place = (left + length / 2, bottom + 0.02 * side)
    axes.text(*place, f"{length} mm", color=BRIGHT, fontsize=7, ha="center", va="bottom", path_effects=rim)
