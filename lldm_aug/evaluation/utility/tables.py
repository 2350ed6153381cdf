"""The tables of a study: every figure of every cell, and what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lldm_aug.evaluation.utility.cell import Cell, CellScores
from lldm_aug.evaluation.utility.pairing import GainRow
from lldm_aug.metrics.lesions import Detection
from lldm_aug.metrics.score import METRICS, UNKNOWN, StructureScore
from lldm_aug.report.table import Cell as Entry
from lldm_aug.report.table import Table

Scores = Mapping[Cell, CellScores]
Key = tuple[str, str, float, str]
EMPTY_KINDS = {"false alarms": "truth", "missed": "prediction", "in neither": "both", UNKNOWN: UNKNOWN}
"""Headings of what is counted as empty."""


def cells_table(scores: Scores) -> Table:
    """Every metric of every case and structure."""
    rows = [
        (*_place(cell), cell.fold, cell.seed, case_id, score.structure, score.empty, *_metrics(score))
        for cell, result in scores.items()
        for case_id, structures in result.cases.items()
        for score in structures
    ]
    columns = ("network", "arm", "label_fraction", "fold", "seed", "case", "structure", "empty", *METRICS)
    return Table(name="cells", title="Every case of every cell", columns=columns, rows=tuple(rows))


def means_table(scores: Scores) -> Table:
    """Means over cases, folds and seeds."""
    rows: list[tuple[Entry, ...]] = []
    for (network, arm, label_fraction, structure), found in _by_structure(scores).items():
        means: list[float | None] = []
        for metric in METRICS:
            values = [v for score in found if (v := score.metrics[metric]) is not None]
            means.append(sum(values) / len(values) if values else None)
        rows.append((network, arm, label_fraction, structure, *means, len(found)))
    note = "Means of what is defined; how often something is not stands in the table 'empty'. Distances are in mm."
    columns = ("network", "arm", "label_fraction", "structure", *METRICS, "n")
    return Table(name="means", title="Means", columns=columns, rows=tuple(rows), note=note)


def empty_table(scores: Scores) -> Table:
    """How often truth or prediction lacks a structure."""
    kinds = ("", *EMPTY_KINDS.values())
    rows: list[tuple[Entry, ...]] = [
        (*key, *(sum(score.empty == kind for score in found) for kind in kinds))
        for key, found in _by_structure(scores).items()
    ]
    note = "Counted over cases, folds and seeds. A false alarm or a miss has a Dice of 0 and an HD95 of the whole grid."
    columns = ("network", "arm", "label_fraction", "structure", "in both", *EMPTY_KINDS)
    return Table(name="empty", title="Empty structures", columns=columns, rows=tuple(rows), note=note)


def lesions_table(scores: Scores) -> Table:
    """Lesion-wise detection by size, over all cases, folds and seeds."""
    rows: list[tuple[Entry, ...]] = []
    for (network, arm, label_fraction, structure), found in _by_structure(scores).items():
        counts: dict[str, Detection] = defaultdict(Detection)
        for score in found:
            for size, numbers in score.lesions.items():
                counts[size] += Detection(*numbers)
        for size, n in counts.items():
            figures = [None if figure != figure else figure for figure in (n.recall, n.precision, n.f1)]
            rows.append(
                (network, arm, label_fraction, structure, size, n.true, n.found, n.predicted, n.right, *figures)
            )
    counted = ("lesions", "found", "finds", "right")
    columns = ("network", "arm", "label_fraction", "structure", "size (mm)", *counted, "recall", "precision", "F1")
    note = "Sizes are diameters of balls; lesions count in their own class, finds in that of the find."
    return Table(name="lesions", title="Detection of lesions", columns=columns, rows=tuple(rows), note=note)


def gains_table(rows: Sequence[GainRow]) -> Table:
    """Gains over the real arm."""
    cells = [
        (
            *(r.network, r.structure, r.label_fraction, r.arm, r.metric),
            *(r.gain.mean, r.gain.low, r.gain.high, r.gain.p, r.p_holm, r.gain.n),
            *(r.present, r.n_present, r.flipped),
        )
        for r in rows
    ]
    figures = ("gain", "low", "high", "p", "p_holm", "n", "gain_present", "n_present", "flipped")
    columns = ("network", "structure", "label_fraction", "arm", "metric", *figures)
    note = (
        "Mean of the differences to the arm 'real', paired by case and averaged over seeds, with its 95 % BCa "
        "bootstrap interval and the p-value of Wilcoxon's signed-rank test; p_holm is corrected for all rows of a "
        "label fraction and metric. Positive is better, of hd95_mm too. A Dice of 0.01 is one point. Where neither "
        "truth nor prediction has a structure they agree (Dice 1), so that false alarms cost. n counts cases, not "
        "seeds. "
        "gain_present is the mean over the n_present cases whose truth has the structure; flipped counts the cases in "
        "which, with any seed, one arm found some of it and the other nothing."
    )
    return Table(name="gains", title="Gains over real cases alone", columns=columns, rows=tuple(cells), note=note)


def curves_table(curves: Mapping[Cell, Sequence[tuple[int, float]]]) -> Table:
    """Training losses."""
    rows = [(*_place(cell), cell.fold, cell.seed, step, loss) for cell, line in curves.items() for step, loss in line]
    columns = ("network", "arm", "label_fraction", "fold", "seed", "step", "loss")
    return Table(name="curves", title="Training losses", columns=columns, rows=tuple(rows))


def _by_structure(scores: Scores) -> dict[Key, list[StructureScore]]:
    found: dict[Key, list[StructureScore]] = defaultdict(list)
    for cell, result in scores.items():
        for structures in result.cases.values():
            for score in structures:
                found[(*_place(cell), score.structure)].append(score)
    return found


def _place(cell: Cell) -> tuple[str, str, float]:
    return cell.network, str(cell.arm), cell.label_fraction


def _metrics(score: StructureScore) -> tuple[float | None, ...]:
    return tuple(score.metrics[metric] for metric in METRICS)
