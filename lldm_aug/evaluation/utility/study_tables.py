"""The tables of a study: every figure of every cell, what they come to, and what each arm rests on.

The table of goals holds the claim that the paper makes (arXiv 2603.23845) against a study's gains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from lldm_aug.evaluation.utility.cell import AUTOENCODED, REAL, SYN, Cell, CellScores
from lldm_aug.evaluation.utility.data import StudyData, generator_hash
from lldm_aug.evaluation.utility.pairing import GainRow
from lldm_aug.metrics.lesion_detection import Detection
from lldm_aug.metrics.score import METRICS, UNKNOWN, StructureScore
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.report.data_table import Cell as Entry
from lldm_aug.report.data_table import Table

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


PAPER_GAIN = 0.11153
"""HCC Dice of the best of five networks."""
MOST_NETWORKS = 0.8
"""Share of networks whose gain has to be beyond chance: four of five."""
FEWEST_NETWORKS = 5
"""The claim is of five."""
GOALS_NOTE = (
    "Of Dice; 0.01 is one point. Intervals are 95 % ones, uncorrected for their number. Not judged while there are "
    f"fewer than {FEWEST_NETWORKS} networks, or cells of the arm or of 'real' are unfinished."
)


def goals_table(
    rows: Sequence[GainRow], cells: Sequence[Cell], finished: Container[Cell], lesions: Container[str]
) -> Table:
    """Lesion gains of arms with synthetic cases, and harm to any structure; judged once all is there.

    Args:
        rows: gains.
        cells: all that the study has.
        finished: those that the gains are of.
        lesions: names of the structures that are lesions.
    """
    lines: list[tuple[Entry, ...]] = []
    dice = [row for row in rows if row.metric == "dice" and row.arm.startswith(SYN)]
    for label_fraction, arm in dict.fromkeys((row.label_fraction, row.arm) for row in dice):
        mine = [row for row in dice if (row.label_fraction, row.arm) == (label_fraction, arm)]
        compared = [cell for cell in cells if cell.label_fraction == label_fraction and str(cell.arm) in (REAL, arm)]
        there = [cell for cell in compared if cell in finished]
        counts = len({cell.network for cell in there}), len({cell.seed for cell in there})
        whole = counts[0] >= FEWEST_NETWORKS and len(there) == len(compared)
        found = [
            line
            for structure in dict.fromkeys(row.structure for row in mine if row.structure in lesions)
            for line in _gain_lines([row for row in mine if row.structure == structure], whole)
        ]
        lines += [(arm, label_fraction, *line, *counts) for line in (*found, _harm_line(mine, whole))]
    columns = ("arm", "label_fraction", "figure", "value", "goal", "met", "which", "networks", "seeds")
    return Table(name="goals", title="Goals", columns=columns, rows=tuple(lines), note=GOALS_NOTE)


def _gain_lines(rows: Sequence[GainRow], whole: bool) -> list[tuple[Entry, ...]]:
    best = max(rows, key=lambda row: row.gain.mean)
    sure = [row.network for row in rows if row.gain.low is not None and row.gain.low > 0]
    needed = math.ceil(MOST_NETWORKS * len(rows))
    return [
        (
            f"{best.structure} gain of the best network",
            best.gain.mean,
            f"> {PAPER_GAIN}",
            _word(best.gain.mean > PAPER_GAIN, rows, whole),
            best.network,
        ),
        (
            f"{best.structure}: networks with an interval above 0",
            f"{len(sure)} of {len(rows)}",
            f"{needed} of {len(rows)}",
            _word(len(sure) >= needed, rows, whole),
            ", ".join(sure),
        ),
    ]


def _harm_line(rows: Sequence[GainRow], whole: bool) -> tuple[Entry, ...]:
    harmed = [f"{r.network} {r.structure}" for r in rows if r.gain.high is not None and r.gain.high < 0]
    return (
        "structures harmed (interval below 0)",
        f"{len(harmed)} of {len(rows)}",
        "0",
        _word(not harmed, rows, whole),
        ", ".join(harmed),
    )


def _word(met: bool, rows: Sequence[GainRow], whole: bool) -> str:
    if any(row.gain.low is None for row in rows):
        return "too few cases"
    if not whole:
        return "not judged"
    return "yes" if met else "no"


SHORT = 12
"""Characters of a hash that tell it from all others of a study."""
ARMS_NOTE = (
    f"Hashes by their first {SHORT} characters: of the pool as in each cell's request.json (trained_on), of the "
    "generator as in the pool's pool.json."
)


def arms_table(data: StudyData) -> Table:
    """A line for each arm, label fraction and fold.

    Raises:
        PoolError: when a pool is missing or damaged.
    """
    rows = [
        (str(arm), label_fraction, fold, len(source.labelled), source.seen_by(arm), *_made_of(data, cell))
        for (fold, label_fraction), source in data.plan.sources.items()
        for arm in data.plan.arms
        for cell in (Cell(data.plan.networks[0], arm, label_fraction, fold, data.plan.seeds[0]),)
    ]
    columns = ("arm", "label_fraction", "fold", "labelled cases", "its generator saw", "masks", "pool", "generator")
    return Table(name="arms", title="What each arm rests on", columns=columns, rows=tuple(rows), note=ARMS_NOTE)


def describe_masks(origins: Iterable[MaskOrigin]) -> str:
    """Kinds of masks and what they are of, such as ``deformed and edited from 6 cases of Dataset700_Study``."""
    kinds: dict[str | None, set[str]] = defaultdict(set)
    cases: dict[str | None, set[str | None]] = defaultdict(set)
    for origin in origins:
        kinds[origin.source_dataset].add(origin.kind)
        cases[origin.source_dataset].add(origin.source_case or origin.source_sha256)
    words = {dataset: " and ".join(sorted(found)) for dataset, found in kinds.items()}
    for dataset, found in cases.items():
        if dataset is not None:
            words[dataset] += f" from {len(found)} case{'s' * (len(found) > 1)} of {dataset}"
    return "; ".join(words.values())


def _made_of(data: StudyData, cell: Cell) -> tuple[Entry, Entry, Entry]:
    """Masks, pool and generator of an arm; None for what it lacks."""
    source = data.plan.sources[cell.fold, cell.label_fraction]
    if cell.arm.synthetic and source.pool is not None:
        pool = PoolDataset(source.pool)
        masks = describe_masks(case.mask for case in pool.cases)
        return masks, data.trained_on(cell)["pool"][:SHORT], pool.info.generator.hash[:SHORT]
    if cell.arm.kind == AUTOENCODED and source.generator is not None:
        return None, None, generator_hash(source.generator)[:SHORT]
    return None, None, None
