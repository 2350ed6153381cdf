"""The claim that the paper makes (arXiv 2603.23845), held against a study's gains: met or missed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lldm_aug.evaluation.utility.arms import SYN
from lldm_aug.evaluation.utility.pairing import GainRow
from lldm_aug.masks.limits import LESIONS
from lldm_aug.report.table import Cell, Table

PAPER_GAIN = 0.11153
"""HCC Dice of the best of five networks."""
MOST_NETWORKS = 0.8
"""Share of networks whose gain has to be beyond chance: four of five."""


def goals_table(rows: Sequence[GainRow]) -> Table:
    """Lesion gains of arms with synthetic cases, and harm to any structure."""
    lines: list[tuple[Cell, ...]] = []
    dice = [row for row in rows if row.metric == "dice" and row.arm.startswith(SYN)]
    for share, arm in dict.fromkeys((row.share, row.arm) for row in dice):
        mine = [row for row in dice if (row.share, row.arm) == (share, arm)]
        for structure in dict.fromkeys(row.structure for row in mine if row.structure in LESIONS):
            lines += [(arm, share, *line) for line in _gain_lines([r for r in mine if r.structure == structure])]
        lines.append((arm, share, *_harm_line(mine)))
    columns = ("arm", "share", "figure", "value", "goal", "met", "which")
    return Table(name="goals", title="Goals", columns=columns, rows=tuple(lines), note="Of Dice; 0.01 is one point.")


def _gain_lines(rows: Sequence[GainRow]) -> list[tuple[Cell, ...]]:
    best = max(rows, key=lambda row: row.gain.mean)
    sure = [row.network for row in rows if row.gain.low is not None and row.gain.low > 0]
    needed = math.ceil(MOST_NETWORKS * len(rows))
    return [
        (
            f"{best.structure} gain of the best network",
            best.gain.mean,
            f"> {PAPER_GAIN}",
            _word(best.gain.mean > PAPER_GAIN, rows),
            best.network,
        ),
        (
            f"{best.structure}: networks with an interval above 0",
            f"{len(sure)} of {len(rows)}",
            f"{needed} of {len(rows)}",
            _word(len(sure) >= needed, rows),
            ", ".join(sure),
        ),
    ]


def _harm_line(rows: Sequence[GainRow]) -> tuple[Cell, ...]:
    harmed = [f"{r.network} {r.structure}" for r in rows if r.gain.high is not None and r.gain.high < 0]
    return (
        "structures harmed (interval below 0)",
        f"{len(harmed)} of {len(rows)}",
        "0",
        _word(not harmed, rows),
        ", ".join(harmed),
    )


def _word(met: bool, rows: Sequence[GainRow]) -> str:
    if any(row.gain.low is None for row in rows):
        return "too few cases"
    return "yes" if met else "no"
