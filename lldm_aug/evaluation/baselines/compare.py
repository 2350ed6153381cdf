"""Pairs of every method for the same held-out masks, measured alike, and a table with a line for each method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from lldm_aug.evaluation.baselines.baselines_plan import BaselinesPlan, Method
from lldm_aug.evaluation.baselines.train_methods import missed
from lldm_aug.evaluation.comparison import REAL_VS_REAL, Comparison, compare
from lldm_aug.evaluation.conformed_cases import Reader, View
from lldm_aug.evaluation.evaluation_report import (
    ComparisonResults,
    comparison_facts,
    draw_mosaic,
    heldout_facts,
    markdown,
    write_results,
)
from lldm_aug.evaluation.generation import Steps, make_pool
from lldm_aug.evaluation.heldout import lent_by, refuse_seen
from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.measure.meter import FOLDER, Meter
from lldm_aug.evaluation.tables.distances import MEASURES
from lldm_aug.machine import Machine
from lldm_aug.models.image_model import ImageDescription
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.report.data_table import Cell, Table
from lldm_aug.training.checkpoint import trained_seconds, trained_steps

PAIRS = "pairs"
MOSAIC_MASKS = 2
PAPERS_RATIOS = "The paper reports 0.291 of a GAN's FID and 0.733 of diffusion baselines' (arXiv 2603.23845)."
COLUMNS = (
    *("method", "FID", "KID", "FID over real-vs-real", "KID over real-vs-real", "ours / this FID", "ours / this KID"),
    *("Dice over real", "training (s)", "steps", "per case (s)", "weights (million)"),
)


@dataclass(frozen=True)
class Made:
    """What made the pairs of a method.

    Args:
        seconds: that each pair took.
        weights: how many make an image.
        description: of the trained model.
        identity: its hash.
    """

    seconds: list[float]
    weights: int
    description: ImageDescription
    identity: str


class BaselinesResults(ComparisonResults):
    """What ``results.json`` holds besides.

    Args:
        data: data set and fold that all methods were trained on, and number of cases.
        heldout: data set and fold of the held-out cases, ids of both sets, and cases left out.
        seconds: of training that each method was given; None for the settings' steps.
        autoencoder_share: of that time.
        models: hash of each method's model.
        config: settings of all methods, but for steps.
    """

    data: dict[str, Any]
    heldout: dict[str, Any]
    seconds: float | None
    autoencoder_share: float
    models: dict[str, str]
    config: dict[str, Any]


def run_baselines(
    plan: BaselinesPlan,
    out: Path,
    run: Path,
    features: Sequence[FeatureCache],
    device: str,
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> tuple[Comparison, dict[str, Made]]:
    """Generates what is missing in the report folder's pools, then measures; a second call goes on.

    Args:
        plan: what to do.
        out: the report's folder.
        run: folder with the trained methods.
        features: feature networks.
        device: where methods run.
        progress: is told the number of steps done and what is going on.

    Raises:
        IncompatibleResume: when the folder was begun with other settings.
        LeakageError: when a method has seen a held-out case.
    """
    heldout, steps = plan.heldout, Steps(progress)
    made = {method.name: _make(plan, method, out, run, device, steps) for method in plan.methods}
    pools = {name: PoolDataset(out / PAIRS / name) for name in made}
    first, schema = plan.methods[0].name, plan.dataset.schema
    reader = Reader(View.of(made[first].description), schema, heldout.dataset, heldout.masks, plan.dataset)
    meter = Meter(schema, features, plan.segmenter, out / FOLDER)
    real, training = lent_by(pools[first]), plan.training_cases
    return compare(reader, meter, pools, real, heldout.others, training, plan.seed, steps), made


def _make(plan: BaselinesPlan, method: Method, out: Path, run: Path, device: str, steps: Steps) -> Made:
    model, weights = method.load(run)
    refuse_seen(plan.heldout, model.description.stages, method.name, run)
    n = len(plan.heldout.masks)
    seconds = make_pool(out / PAIRS / method.name, model.to(device), plan.heldout.request, plan.seed, n, steps)
    return Made(seconds, weights, model.description, model.hash)


def report_baselines(
    plan: BaselinesPlan, comparison: Comparison, made: dict[str, Made], out: Path, run: Path, machine: Machine
) -> BaselinesResults:
    """Makes figures of measurements and writes all files.

    Args:
        plan: what was done.
        comparison: what was measured.
        made: what made the pairs, by method.
        out: the report's folder.
        run: folder with the trained methods.
        machine: that measured.
    """
    taken = {method.name: training_seconds(method, run) for method in plan.methods}
    tables = (_methods(plan, comparison, made, run), _ratios(comparison), _training(plan, run))
    notes = (*plan.notes, plan.terms, *missed(plan.seconds, taken), PAPERS_RATIOS)
    results = BaselinesResults(
        **comparison_facts(comparison, tables, notes, out, machine),
        data={"dataset": plan.dataset.name, "fold": plan.fold, "cases": len(plan.training_cases)},
        heldout=heldout_facts(plan.heldout),
        seconds=plan.seconds,
        autoencoder_share=plan.autoencoder_share,
        models={name: one.identity for name, one in made.items()},
        config=plan.config.model_dump(mode="json"),
    )
    introduction = (
        f"Trained on {len(plan.training_cases)} cases of {plan.dataset.name}, fold {plan.fold}; held-out cases of "
        f"{plan.heldout.dataset.name}."
    )
    write_results(out, results, markdown("A generator and its baselines", introduction, results))
    pools = {name: PoolDataset(out / PAIRS / name) for name in made}
    draw_mosaic(out, plan.heldout.dataset, pools, MOSAIC_MASKS, "Real, and each method for the same mask")
    return results


def _methods(plan: BaselinesPlan, comparison: Comparison, made: dict[str, Made], run: Path) -> Table:
    """Table ``methods``: ours first, the real-vs-real distance last."""
    lines: list[tuple[Cell, ...]] = [
        (
            method.name,
            *_distances(comparison, method.name),
            _over_real(comparison.tables[method.name]["mask_consistency"]),
            training_seconds(method, run),
            trained_steps(run / method.stages[-1]),
            median(seconds) if (seconds := made[method.name].seconds) else None,
            made[method.name].weights / 1e6,
        )
        for method in plan.methods
    ]
    lines.append(
        (REAL_VS_REAL, *_distances(comparison, REAL_VS_REAL), None if plan.segmenter is None else 1.0, *[None] * 4)
    )
    masks, others = len(comparison.real.cases), len(comparison.others)
    return Table(
        name="methods",
        title=f"Images for the masks of {masks} held-out cases, compared with {others} others",
        columns=COLUMNS,
        rows=tuple(lines),
        note=f"'{REAL_VS_REAL}' are the very cases that lent the masks: the real-vs-real distance. FID and KID are "
        "means of three planes; "
        "'ours / this' below 1 means that ours are nearer to real images. Dice over real: the evaluation segmenter's "
        "Dice against the masks, over its Dice on the real cases. Training: seconds of all optimiser steps, the "
        "autoencoder's with it; steps are those of the last stage. Per case: median, files written. Intervals: next "
        "tables.",
    )


def _distances(comparison: Comparison, name: str) -> tuple[Cell, ...]:
    distances, measures = next(iter(comparison.distances.values())), ("FID", "KID")
    told = [
        *(distances.of(measure, name) for measure in measures),
        *(distances.over_real_vs_real(measure, name) for measure in measures),
        *(distances.ratio(measure, distances.names[0], name) for measure in measures),
    ]
    return tuple(one.cells[0] for one in told)


def _over_real(consistency: Table) -> Cell:
    """Mean over the structures that the masks hold."""
    ratio = consistency.columns.index("ratio")
    known = [value for row in consistency.rows if isinstance(value := row[ratio], float)]
    return fmean(known) if known else None


def training_seconds(method: Method, run: Path) -> float:
    """Seconds of all optimiser steps of a method's stages."""
    return sum(trained_seconds(run / stage) for stage in method.stages)


def _ratios(comparison: Comparison) -> Table:
    """Table ``ratios``: our distance over that of each method, with intervals."""
    distances = next(iter(comparison.distances.values()))
    rows = tuple(
        (name, measure, *distances.ratio(measure, distances.names[0], name).cells)
        for name in distances.names
        for measure in MEASURES
    )
    return Table(
        name="ratios",
        title="Distance of our images over that of each method",
        columns=("method", "measure", "ours_over_this", "low", "high"),
        rows=rows,
        note="Intervals: 95 %, bootstrap over masks (the same ones for every method) and over the other cases, spread "
        "around the figure. They hold the spread of cases, not that of another training.",
    )


def _training(plan: BaselinesPlan, run: Path) -> Table:
    """Table ``training``: a line a stage."""
    rows: list[tuple[Cell, ...]] = []
    for stage in dict.fromkeys(stage for method in plan.methods for stage in method.stages):
        steps, seconds = trained_steps(run / stage), trained_seconds(run / stage)
        batch = int(getattr(plan.config.train, stage).batch_size)
        methods = ", ".join(m.name for m in plan.methods if stage in m.stages)
        rows.append((stage, methods, steps, batch, seconds, seconds / steps if steps else None))
    columns = ("stage", "for", "steps", "batch", "seconds", "seconds per step")
    return Table(name="training", title="How long each stage was trained", columns=columns, rows=tuple(rows))
