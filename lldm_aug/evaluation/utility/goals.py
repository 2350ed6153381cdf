"""The claim that the paper makes (arXiv 2603.23845), held against a study's gains: met, missed or not judged."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

from lldm_aug.evaluation.utility.arms import REAL, SYN
from lldm_aug.evaluation.utility.cell import Cell
from lldm_aug.evaluation.utility.pairing import GainRow
from lldm_aug.report.table import Cell as Entry
from lldm_aug.report.table import Table

PAPER_GAIN = 0.11153
"""HCC Dice of the best of five networks."""
MOST_NETWORKS = 0.8
"""Share of networks whose gain has to be beyond chance: four of five."""
FEWEST_NETWORKS = 5
"""The claim is of five."""
NOTE = (
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
    return Table(name="goals", title="Goals", columns=columns, rows=tuple(lines), note=NOTE)


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
