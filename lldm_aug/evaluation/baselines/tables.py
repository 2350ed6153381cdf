"""The tables of a comparison: a line for each method, and what is behind it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, median

from lldm_aug.evaluation.baselines.distances import Distances
from lldm_aug.evaluation.baselines.methods import Method
from lldm_aug.evaluation.baselines.plan import FidelityBench
from lldm_aug.evaluation.baselines.run import Compared, MeasuredSet, Row
from lldm_aug.evaluation.faithfulness import StructureScore, structure_score
from lldm_aug.evaluation.fidelity.resampled import MEASURES
from lldm_aug.labels import LabelSchema
from lldm_aug.report.criterion import finite, ratio
from lldm_aug.report.table import Cell, Table
from lldm_aug.training.checkpoint import trained_seconds, trained_steps

FLOOR = "real"
COLUMNS = (
    *("method", "FID", "KID", "FID over floor", "KID over floor", "ours / this FID", "ours / this KID"),
    *("Dice over real", "training (s)", "steps", "per case (s)", "weights (million)"),
)
DISTANCES_COLUMNS = (
    *("method", "measure", "value", "low", "high", "over_floor", "over_floor_low", "over_floor_high"),
    *("ours_over_this", "ours_over_this_low", "ours_over_this_high"),
)


def make_tables(plan: FidelityBench, compared: Compared, run: Path) -> tuple[Table, ...]:
    """Tables ``fidelity``, ``distances``, ``faithfulness`` (with a referee) and ``training``."""
    sets = {row.method.name: row.images for row in compared.rows} | {FLOOR: compared.real}
    distances = Distances.between(
        {name: images.features for name, images in sets.items()}, compared.others.features, plan.seed
    )
    schema = plan.heldout.dataset.schema
    tables = [_fidelity(compared, distances, schema, run), _distances(distances)]
    if plan.referee is not None:
        tables.append(_faithfulness(sets, schema))
    return (*tables, _training(plan, run))


def _fidelity(compared: Compared, distances: Distances, schema: LabelSchema, run: Path) -> Table:
    """Ours first, the floor last."""
    lines: list[tuple[Cell, ...]] = [
        (
            row.method.name,
            *_figures(distances, row.method.name),
            _over_real(row.images, compared.real, schema),
            *_costs(row, run),
        )
        for row in compared.rows
    ]
    lines.append((FLOOR, *_figures(distances, FLOOR), _over_real(compared.real, compared.real, schema), *[None] * 4))
    masks, others = len(compared.real.features), len(compared.others.features)
    return Table(
        name="fidelity",
        title=f"Images for the masks of {masks} held-out cases, compared with {others} others",
        columns=COLUMNS,
        rows=tuple(lines),
        note=f"'{FLOOR}' are the very cases that lent the masks: the floor. FID and KID are means of three planes; "
        "'ours / this' below 1 means that ours are nearer to real images. Dice over real: a referee's Dice against "
        "the masks, over its Dice on the real cases. Training: seconds of all optimiser steps, the autoencoder's with "
        "it; steps are those of the last stage. Per case: median, files written. Intervals: next table.",
    )


def _figures(distances: Distances, name: str) -> tuple[Cell, ...]:
    measures = ("FID", "KID")
    told = [*(distances.of(measure, name) for measure in measures)]
    told += [distances.over_floor(measure, name) for measure in measures]
    told += [distances.ours_over(measure, name) for measure in measures]
    return tuple(finite(one.value) for one in told)


def _over_real(images: MeasuredSet, real: MeasuredSet, schema: LabelSchema) -> Cell:
    """Mean over the structures that the masks hold."""
    found = [
        ratio(structure_score(images.scores, name).mean, structure_score(real.scores, name).mean)
        for name in schema.names
    ]
    known = [value for value in map(finite, found) if value is not None]
    return fmean(known) if known else None


def training_seconds(method: Method, run: Path) -> float:
    """Seconds of all optimiser steps of a method's stages."""
    return sum(trained_seconds(run / stage) for stage in method.stages)


def _costs(row: Row, run: Path) -> tuple[Cell, ...]:
    steps = trained_steps(run / row.method.stages[-1])
    return training_seconds(row.method, run), steps, median(row.seconds) if row.seconds else None, row.weights / 1e6


def _distances(distances: Distances) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in distances.names:
        for measure in MEASURES:
            told = (distances.of, distances.over_floor, distances.ours_over)
            rows.append((name, measure, *(cell for of in told for cell in of(measure, name).cells)))
    return Table(
        name="distances",
        title="Distances and their ratios, with intervals",
        columns=DISTANCES_COLUMNS,
        rows=tuple(rows),
        note="Intervals: 95 %, bootstrap over masks (the same ones for every method) and over the other cases, spread "
        "around the figure. They hold the spread of cases, not that of another training. FID is taken in random "
        "subspaces in which covariances have full rank; 'FID plain' is of all features, and of fewer slices than "
        "features it says mostly how few there are.",
    )


def _faithfulness(sets: dict[str, MeasuredSet], schema: LabelSchema) -> Table:
    """A line a structure, a column a method."""
    rows: list[tuple[Cell, ...]] = []
    for structure in schema.names:
        found: dict[str, StructureScore] = {name: structure_score(s.scores, structure) for name, s in sets.items()}
        rows.append((structure, found[FLOOR].cases, *(finite(score.mean) for score in found.values())))
    return Table(
        name="faithfulness",
        title="Dice of the referee against the mask",
        columns=("structure", "masks with it", *sets),
        rows=tuple(rows),
        note=f"Means over the masks that hold the structure; '{FLOOR}' is what the referee reaches on real images.",
    )


def _training(plan: FidelityBench, run: Path) -> Table:
    """A line a stage."""
    rows: list[tuple[Cell, ...]] = []
    for stage in dict.fromkeys(stage for method in plan.methods for stage in method.stages):
        steps, seconds = trained_steps(run / stage), trained_seconds(run / stage)
        batch = int(getattr(plan.config.train, stage).batch_size)
        methods = ", ".join(m.name for m in plan.methods if stage in m.stages)
        rows.append((stage, methods, steps, batch, seconds, seconds / steps if steps else None))
    columns = ("stage", "for", "steps", "batch", "seconds", "seconds per step")
    return Table(name="training", title="How long each stage was trained", columns=columns, rows=tuple(rows))
