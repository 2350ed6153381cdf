"""Gains paired by case: means over seeds, so that a case counts once; intervals, tests and Holm's correction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import bootstrap, wilcoxon

from lldm_aug.anatomy.limits import VESSELS
from lldm_aug.data.splits import Fold
from lldm_aug.evaluation.utility.cell import REAL, Arm, Cell, CellScores
from lldm_aug.metrics.score import LESS_IS_BETTER, UNKNOWN, StructureScore
from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

RESAMPLES = 9999
CONFIDENCE = 0.95
FEWEST = 6
"""Cases below which there is neither an interval, which would be too short, nor a test, which could not reach 0.05."""


class Gain(Record):
    """The mean difference of paired cases.

    Args:
        mean: of the differences.
        low: lower end of the 95 % interval; None for too few cases.
        high: upper end.
        p: of Wilcoxon's signed-rank test, two-sided; None for too few cases.
        n: number of cases.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def paired_gain(differences: Sequence[float], *name: str | float) -> Gain:
    """Mean, bias-corrected and accelerated bootstrap interval (Efron 1987) and test of differences.

    Args:
        differences: of each case; at least one.
        *name: what the resampling is seeded by.
    """
    values = np.asarray(differences, dtype=float)
    mean, n = float(values.mean()), values.size
    if n < FEWEST:
        return Gain(mean=mean, low=None, high=None, p=None, n=n)
    if np.ptp(values) == 0:  # nothing to resample
        return Gain(mean=mean, low=mean, high=mean, p=1.0 if mean == 0 else float(wilcoxon(values).pvalue), n=n)
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=numpy_rng("bootstrap", *name),
    )
    low, high = found.confidence_interval
    return Gain(mean=mean, low=float(low), high=float(high), p=float(wilcoxon(values).pvalue), n=n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number (Holm 1979), in their order; None stays, and does not count."""
    tests = sorted((p, number) for number, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, (p, number) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - place) * p))
        corrected[number] = largest
    return corrected


AGREED = {"dice": 1.0, "nsd": 1.0, "hd95_mm": 0.0, "cl_dice": 1.0, "lesion_f1": 1.0}
"""Metrics of a structure that neither truth nor prediction has: they agree, or a false alarm would cost nothing."""
HAVING = ("", "prediction")
"""What a score says is empty where the truth has the structure."""
COMPARED = ("dice", "nsd", "hd95_mm", "cl_dice", "lesion_recall", "lesion_f1")
"""Metrics that gains are given for. Precision has no value where nothing is found, and so no pairs."""


class GainRow(Record):
    """A gain over the real arm.

    Args:
        network: name of the network.
        structure: name of the structure.
        label_fraction: of labelled cases.
        arm: what is compared with the real arm.
        metric: in its own unit; positive is better, also of distances.
        gain: mean, interval and p-value.
        p_holm: p-value corrected for all rows of its label fraction and metric.
        present: mean gain over the cases whose truth has the structure; None if there are none.
        n_present: their number.
        flipped: cases in which, with any seed, one of the arms found some of the structure and the other nothing.
    """

    network: str
    structure: str
    label_fraction: float
    arm: str
    metric: str
    gain: Gain
    p_holm: float | None = None
    present: float | None = None
    n_present: int = 0
    flipped: int = 0


@dataclass
class _Case:
    """The differences of one case in one metric, a value for each seed."""

    present: bool
    flipped: bool = False
    differences: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return sum(self.differences) / len(self.differences)


def value(score: StructureScore, metric: str) -> float | None:
    """A metric of one case as it is compared; None where the truth leaves nothing to compare."""
    found = score.metrics[metric]
    if found is not None or score.empty != "both":
        return found
    asked = {"cl_dice": score.structure in VESSELS, "lesion_f1": bool(score.lesions)}.get(metric, True)
    return AGREED.get(metric) if asked else None


def compare(scores: Mapping[Cell, CellScores]) -> tuple[GainRow, ...]:
    """The gains of all arms, structure by structure.

    Cells are paired by network, label fraction, fold and seed; the differences of a case are averaged over seeds.
    """
    paired: dict[tuple[str, str, float, Arm, str], dict[tuple[Fold, str], _Case]] = defaultdict(dict)
    for cell, result in scores.items():
        base = scores.get(Cell(cell.network, Arm(REAL), cell.label_fraction, cell.fold, cell.seed))
        if base is None or cell.arm.kind == REAL:
            continue
        for case_id, structures in result.cases.items():
            for mine, theirs in zip(structures, base.cases[case_id], strict=True):
                for metric in COMPARED:
                    found = _difference(mine, theirs, metric)
                    if found is not None:
                        key = (cell.network, mine.structure, cell.label_fraction, cell.arm, metric)
                        case = paired[key].setdefault((cell.fold, case_id), _Case(mine.empty in HAVING))
                        case.differences.append(found)
                        case.flipped |= mine.empty != theirs.empty
    rows = [_row(key, tuple(by_case.values())) for key, by_case in paired.items()]
    return _corrected(rows)


def _difference(mine: StructureScore, theirs: StructureScore, metric: str) -> float | None:
    if UNKNOWN in (mine.empty, theirs.empty):
        return None
    one, other = value(mine, metric), value(theirs, metric)
    if one is None or other is None:
        return None
    return other - one if metric in LESS_IS_BETTER else one - other


def _row(key: tuple[str, str, float, Arm, str], cases: Sequence[_Case]) -> GainRow:
    network, structure, label_fraction, arm, metric = key
    present = [case.mean for case in cases if case.present]
    return GainRow(
        network=network,
        structure=structure,
        label_fraction=label_fraction,
        arm=str(arm),
        metric=metric,
        gain=paired_gain([case.mean for case in cases], network, structure, label_fraction, str(arm), metric),
        present=sum(present) / len(present) if present else None,
        n_present=len(present),
        flipped=sum(case.flipped for case in cases),
    )


def _corrected(rows: list[GainRow]) -> tuple[GainRow, ...]:
    """The rows with Holm's correction over all rows of a label fraction and metric."""
    families: dict[tuple[float, str], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        families[row.label_fraction, row.metric].append(number)
    for members in families.values():
        for number, p in zip(members, holm([rows[n].gain.p for n in members]), strict=True):
            rows[number] = rows[number].model_copy(update={"p_holm": p})
    return tuple(rows)
