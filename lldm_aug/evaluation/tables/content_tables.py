"""Tables of what images show: signal of structures, consistency with the mask, vessels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lldm_aug.evaluation.bootstrap import Interval, bootstrap, taken
from lldm_aug.evaluation.measure.contents import signal_shift, vessels_of
from lldm_aug.evaluation.measure.meter import MeasuredCase
from lldm_aug.evaluation.measure.segmentation import structure_dice
from lldm_aug.labels import LabelSchema
from lldm_aug.report.criterion import finite, ratio
from lldm_aug.report.data_table import Cell, Table

Cases = Sequence[MeasuredCase]


@dataclass(frozen=True)
class Sides:
    """Synthetic and real cases that are compared.

    Args:
        synthetic: pairs.
        real: real cases.
        schema: structures of both.
        seed: of the resamples.
        paired: whether the two have the same masks, number by number, and are resampled together.
    """

    synthetic: Cases
    real: Cases
    schema: LabelSchema
    seed: int
    paired: bool = False

    def interval(self, statistic: Callable[[np.ndarray, np.ndarray], float], *what: str) -> Interval:
        """A figure with its interval, from how often each synthetic and each real case is taken."""
        if self.paired:
            return bootstrap(lambda both: statistic(both, both), [len(self.real)], self.seed, *what)
        return bootstrap(statistic, [len(self.synthetic), len(self.real)], self.seed, *what)

    def values(self, value: Callable[[MeasuredCase], float | None]) -> list[np.ndarray]:
        """A figure of each synthetic and of each real case; NaN where it has none."""
        return [np.array([value(case) for case in cases], dtype=np.float64) for cases in (self.synthetic, self.real)]

    def ratio_of_means(self, values: Sequence[np.ndarray], *what: str) -> Interval:
        """Synthetic over real, means over the cases that have a value."""
        return self.interval(lambda s, r: ratio(_mean(values[0], s), _mean(values[1], r)), *what)


def signal(sides: Sides) -> Table:
    """Table ``signal``: mean and standard deviation of each structure, texture, and liver against vessels."""
    ours, theirs = ([case.figures.signal for case in cases] for cases in (sides.synthetic, sides.real))
    channels = max((len(means) for case in theirs for means in case.mean.values()), default=1)
    rows: list[tuple[Cell, ...]] = []
    for name, channel in product(sides.schema.names, range(channels)):
        structure = name if channels == 1 else f"{name}, channel {channel}"
        for figure in ("mean", "deviation"):
            values = [
                [getattr(case, figure)[name][channel] for case in cases if name in case.mean]
                for cases in (ours, theirs)
            ]
            found = sides.interval(
                lambda s, r, name=name, channel=channel, figure=figure: getattr(  # type: ignore[misc]
                    signal_shift(taken(theirs, r), taken(ours, s), name, channel), figure
                ),
                *(structure, figure),
            )
            between = signal_shift(theirs, ours, name, channel).mean_between_cases if figure == "mean" else np.nan
            rows.append((structure, figure, *_means(values), *found.cells, *map(len, values), finite(between)))
    for figure in ("texture", "liver_to_vessel"):
        each = sides.values(lambda case, figure=figure: getattr(case.figures, figure))  # type: ignore[misc]
        over, known = sides.ratio_of_means(each, figure), [_known(v) for v in each]
        shift = Interval(over.value - 1, over.low - 1, over.high - 1)
        rows.append((None, figure, *_means(known), *shift.cells, *map(len, known), None))
    return Table(
        name="signal",
        title="Intensities of structures, synthetic against real",
        columns=(
            *("structure", "figure", "synthetic", "real", "shift", "low", "high", "n_synthetic", "n_real"),
            "between_cases",
        ),
        rows=tuple(rows),
        note="Shift of mean and deviation in standard deviations of the real voxels of the structure; of texture "
        "(high-pass deviation of liver parenchyma) and liver_to_vessel (ratio of their signal) as a fraction of real. "
        "between_cases: shift of the mean in standard deviations of the real cases' means.",
    )


def mask_consistency(sides: Sides) -> Table:
    """Table ``mask_consistency``: Dice of the evaluation segmenter against the masks, by structure; no line without."""
    ours, theirs = ([c.segmentation for c in cases if c.segmentation] for cases in (sides.synthetic, sides.real))
    rows: list[tuple[Cell, ...]] = []
    for name in sides.schema.names if ours else ():
        found, true = structure_dice(ours, name), structure_dice(theirs, name)
        dice = sides.values(lambda c, name=name: c.segmentation.dice_of(name) if c.segmentation else None)  # type: ignore[misc]
        over = sides.ratio_of_means(dice, "mask consistency", name)
        counts = (found.cases, true.cases, found.absent, found.false_alarms, true.absent, true.false_alarms)
        rows.append((name, finite(found.mean), finite(true.mean), *over.cells, *counts))
    return Table(
        name="mask_consistency",
        title="Dice of the evaluation segmenter against the mask, on synthetic over on real images",
        columns=(
            *("structure", "synthetic", "real", "ratio", "low", "high", "n_synthetic", "n_real"),
            *("absent_synthetic", "false_alarms_synthetic", "absent_real", "false_alarms_real"),
        ),
        rows=tuple(rows),
        note="Means over the cases whose mask has the structure. Where it is absent, the segmenter's false alarms are "
        "counted instead.",
    )


def vessels(sides: Sides) -> Table:
    """Table ``vessels``: clDice of the segmenter, and connected components in masks and in what the segmenter finds."""
    figures: dict[str, Callable[[MeasuredCase, str], float | None]] = {
        "components in masks": lambda case, name: _components(case, name, "components", found=False),
        "largest component in masks": lambda case, name: _components(case, name, "largest", found=False),
    }
    if any(case.segmentation for case in sides.real):
        figures |= {
            "clDice": lambda case, name: case.segmentation.centre_line(name) if case.segmentation else None,
            "components found": lambda case, name: _components(case, name, "components", found=True),
            "largest component found": lambda case, name: _components(case, name, "largest", found=True),
        }
    rows: list[tuple[Cell, ...]] = []
    for name, (figure, value) in product(vessels_of(sides.schema), figures.items()):
        values = sides.values(lambda case, name=name, value=value: value(case, name))  # type: ignore[misc]
        over, known = sides.ratio_of_means(values, figure, name), [_known(v) for v in values]
        rows.append((name, figure, *_means(known), *over.cells, *map(len, known)))
    return Table(
        name="vessels",
        title="Vessels: course and connection, synthetic against real",
        columns=("vessel", "figure", "synthetic", "real", "ratio", "low", "high", "n_synthetic", "n_real"),
        rows=tuple(rows),
        note="clDice: of the segmenter's vessel against the mask's. Components: connected ones of at least 4 voxels, "
        "in the masks themselves and in the segmentation of the images. Largest component: its share of the vessel.",
    )


def _components(case: MeasuredCase, vessel: str, figure: str, *, found: bool) -> float | None:
    """A figure of a vessel in the mask, or in what was found in the image; None where it has no such vessel."""
    trees = case.figures.trees if not found else case.segmentation.trees if case.segmentation else {}
    return getattr(trees[vessel], figure) if vessel in trees else None


def _mean(values: np.ndarray, counts: np.ndarray) -> float:
    weights = counts * np.isfinite(values)
    return float(np.nansum(values * weights) / weights.sum()) if weights.sum() else float("nan")


def _known(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(v) for v in values if np.isfinite(v)]


def _means(values: Sequence[Sequence[float]]) -> tuple[Cell, ...]:
    return tuple(float(np.mean(v)) if v else None for v in values)
