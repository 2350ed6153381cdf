"""Tables of what images show: signal of structures, faithfulness to the mask, vessels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from lldm_aug.evaluation.bootstrap import Interval, bootstrap, taken
from lldm_aug.evaluation.faithfulness import structure_score
from lldm_aug.evaluation.fidelity.run import MeasuredCase
from lldm_aug.evaluation.fidelity.trees import vessels_of
from lldm_aug.evaluation.signal import signal_shift
from lldm_aug.labels import LabelSchema
from lldm_aug.report.criterion import finite, ratio
from lldm_aug.report.table import Cell, Table

Cases = Sequence[MeasuredCase]


def signal(synthetic: Cases, real: Cases, schema: LabelSchema, seed: int) -> Table:
    """Table ``signal``: mean and deviation of each structure, texture, and liver against vessels."""
    ours, theirs = [case.figures.signal for case in synthetic], [case.figures.signal for case in real]
    channels = max((len(means) for case in theirs for means in case.mean.values()), default=1)
    rows: list[tuple[Cell, ...]] = []
    for name, channel in product(schema.names, range(channels)):
        structure = name if channels == 1 else f"{name}, channel {channel}"
        for figure in ("mean", "deviation"):
            values = [
                [getattr(case, figure)[name][channel] for case in cases if name in case.mean]
                for cases in (ours, theirs)
            ]
            found = bootstrap(
                lambda s, r, name=name, channel=channel, figure=figure: getattr(
                    signal_shift(taken(theirs, r), taken(ours, s), name, channel), figure
                ),
                (len(ours), len(theirs)),
                *(seed, structure, figure),
            )
            rows.append((structure, figure, *_means(values), *found.cells, *map(len, values)))
    for figure in ("texture", "liver_to_vessel"):
        values = [_known([getattr(case.figures, figure) for case in cases]) for cases in (synthetic, real)]
        found = bootstrap(
            lambda s, r, pair=values: _relative(taken(pair[0], s), taken(pair[1], r)),
            (len(values[0]), len(values[1])),
            *(seed, figure),
        )
        rows.append((None, figure, *_means(values), *found.cells, *map(len, values)))
    return Table(
        name="signal",
        title="Intensities of structures, synthetic against real",
        columns=("structure", "figure", "synthetic", "real", "shift", "low", "high", "n_synthetic", "n_real"),
        rows=tuple(rows),
        note="Shift of mean and deviation in standard deviations of the real voxels of the structure; of texture "
        "(high-pass deviation of liver parenchyma) and liver_to_vessel (ratio of their signal) as a share of real.",
    )


def faithfulness(synthetic: Cases, real: Cases, schema: LabelSchema, seed: int) -> Table:
    """Table ``faithfulness``: Dice of the referee against the masks, by structure; no line without a referee."""
    ours, theirs = ([case.judgement.score for case in cases if case.judgement] for cases in (synthetic, real))
    rows: list[tuple[Cell, ...]] = []
    for name in schema.names if ours else ():
        found, true = structure_score(ours, name), structure_score(theirs, name)
        dice = [np.array([s.dice[name] if name in s.present else np.nan for s in scores]) for scores in (ours, theirs)]
        over = _ratio_of_means(dice, seed, "faithfulness", name)
        counts = (found.cases, true.cases, found.absent, found.false_alarms, true.absent, true.false_alarms)
        rows.append((name, finite(found.mean), finite(true.mean), *over.cells, *counts))
    return Table(
        name="faithfulness",
        title="Dice of a referee against the mask, on synthetic over on real images",
        columns=(
            *("structure", "synthetic", "real", "ratio", "low", "high", "n_synthetic", "n_real"),
            *("absent_synthetic", "false_alarms_synthetic", "absent_real", "false_alarms_real"),
        ),
        rows=tuple(rows),
        note="Means over the cases whose mask has the structure. Where it is absent, the referee's false alarms are "
        "counted instead.",
    )


def vessels(synthetic: Cases, real: Cases, schema: LabelSchema, seed: int) -> Table:
    """Table ``vessels``: clDice of the referee, and pieces of vessels in masks and in what the referee sees."""
    figures: dict[str, Callable[[MeasuredCase, str], float]] = {
        "pieces in masks": lambda case, name: case.trees[name].pieces if name in case.trees else np.nan,
        "largest piece in masks": lambda case, name: case.trees[name].largest if name in case.trees else np.nan,
    }
    if any(case.judgement for case in real):
        figures |= {"clDice": _centre_line, "pieces seen": _pieces_seen, "largest piece seen": _largest_seen}
    rows: list[tuple[Cell, ...]] = []
    for name, (figure, value) in product(vessels_of(schema), figures.items()):
        values = [np.array([value(case, name) for case in cases], dtype=np.float64) for cases in (synthetic, real)]
        over = _ratio_of_means(values, seed, figure, name)
        known = [_known(v) for v in values]
        rows.append((name, figure, *_means(known), *over.cells, *map(len, known)))
    return Table(
        name="vessels",
        title="Vessels: course and connection, synthetic against real",
        columns=("vessel", "figure", "synthetic", "real", "ratio", "low", "high", "n_synthetic", "n_real"),
        rows=tuple(rows),
        note="clDice: of the referee's vessel against the mask's. Pieces: connected parts of at least 4 voxels, in "
        "the masks themselves and in the referee's segmentation of the images. Largest piece: its share of the vessel.",
    )


def _centre_line(case: MeasuredCase, name: str) -> float:
    return case.judgement.centre_line(name) if case.judgement else np.nan


def _pieces_seen(case: MeasuredCase, name: str) -> float:
    return case.judgement.trees[name].pieces if case.judgement and name in case.judgement.trees else np.nan


def _largest_seen(case: MeasuredCase, name: str) -> float:
    return case.judgement.trees[name].largest if case.judgement and name in case.judgement.trees else np.nan


def _ratio_of_means(values: Sequence[np.ndarray], seed: int, *what: str) -> Interval:
    """Synthetic over real, means over the cases that have a value."""

    def over(ours: np.ndarray, theirs: np.ndarray) -> float:
        return ratio(_mean(values[0], ours), _mean(values[1], theirs))

    return bootstrap(over, [len(v) for v in values], seed, *what)


def _mean(values: np.ndarray, counts: np.ndarray) -> float:
    weights = counts * np.isfinite(values)
    return float(np.nansum(values * weights) / weights.sum()) if weights.sum() else float("nan")


def _relative(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return ratio(float(np.mean(ours)), float(np.mean(theirs))) - 1 if ours and theirs else float("nan")


def _known(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(v) for v in values if np.isfinite(v)]


def _means(values: Sequence[Sequence[float]]) -> tuple[Cell, ...]:
    return tuple(float(np.mean(v)) if v else None for v in values)
