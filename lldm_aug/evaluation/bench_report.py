"""The bench's report: ``results.json``, ``report.md`` and ``mosaic.png``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lldm_aug.evaluation.bench_figures import all_figures
from lldm_aug.evaluation.bench_plan import BenchPlan
from lldm_aug.evaluation.bench_run import POOL, Measured
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.machine import Machine
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.record import Record
from lldm_aug.report.criterion import Criterion
from lldm_aug.version import __version__

RESULTS_FILE = "results.json"
REPORT_FILE = "report.md"
MOSAIC_FILE = "mosaic.png"
MOSAIC_PAIRS = 3


class BenchResults(Record):
    """What ``results.json`` holds.

    Args:
        lldm_aug_version: version that measured.
        generator: hash of the generator.
        generator_saw: data set and fold of each of its stages.
        heldout: data set and fold of the held-out cases, ids of both sets, and cases left out.
        training: data set that was searched for copies, if any, and how many cases.
        n: cases in each set.
        seed: of the run.
        sampling: of the generator.
        network: features' name and identity.
        referee: folder name of the referee, if any.
        machine: that timings were taken on.
        criteria: every figure with its bound and verdict.
        detail: the numbers behind them.
        notes: what was left out or changed.
    """

    lldm_aug_version: str
    generator: str
    generator_saw: tuple[str, ...]
    heldout: dict[str, Any]
    training: dict[str, Any] | None
    n: int
    seed: int
    sampling: dict[str, Any]
    network: dict[str, str]
    referee: str | None
    machine: Machine
    criteria: tuple[Criterion, ...]
    detail: dict[str, Any]
    notes: tuple[str, ...]


def compile_results(
    plan: BenchPlan, measured: Measured, generator_hash: str, network: FeatureNetwork, machine: Machine
) -> BenchResults:
    """Figures and everything that a reader needs to repeat them."""
    criteria, detail = all_figures(measured, plan.description.labels)
    heldout = plan.heldout
    return BenchResults(
        lldm_aug_version=__version__,
        generator=generator_hash,
        generator_saw=tuple(f"{s.stage}: {s.dataset} fold {s.fold}" for s in plan.description.stages),
        heldout={
            "dataset": heldout.dataset.name,
            "fold": heldout.fold,
            "masks": list(heldout.masks),
            "others": list(heldout.others),
            "unusable": heldout.unusable,
        },
        training=None if plan.training is None else {"dataset": plan.training.name, "cases": len(plan.training_cases)},
        n=len(heldout.masks),
        seed=plan.seed,
        sampling=plan.sampling.model_dump(mode="json"),
        network={"name": network.name, "identity": network.identity},
        referee=None if plan.referee is None else plan.referee.name,
        machine=machine,
        criteria=tuple(criteria),
        detail=detail,
        notes=plan.notes,
    )


def write_report(plan: BenchPlan, results: BenchResults, out: Path) -> None:
    """Writes all three files, each atomically."""
    write_json(out / RESULTS_FILE, results.model_dump(mode="json"))
    write_text(out / REPORT_FILE, markdown(results))
    rows = _mosaic_rows(plan, out)
    title = f"real and synthetic images of the same masks ({results.heldout['dataset']})"
    write_mosaic(out / MOSAIC_FILE, rows, title=title, schema=plan.description.labels)


def markdown(results: BenchResults) -> str:
    """The table of figures."""
    heldout = results.heldout
    lines = [
        "# Faithfulness of a generator",
        "",
        f"Generator `{results.generator[:12]}`; held-out cases of {heldout['dataset']} (fold {heldout['fold']}): "
        f"masks of {results.n}, compared with {len(heldout['others'])} others. Features: {results.network['name']}. "
        f"Timings: {results.machine}. Made by lldm_aug {results.lldm_aug_version}, seed {results.seed}.",
        "",
        *criteria_table(results.criteria),
        "",
        *(f"- {note}" for note in results.notes),
        "",
        "*control* is the same figure for images decoded from pure noise: what the decoder alone achieves.",
        f"First cases side by side: `{MOSAIC_FILE}`. All numbers: `{RESULTS_FILE}`.",
    ]
    return "\n".join(lines) + "\n"


def criteria_table(criteria: Iterable[Criterion]) -> list[str]:
    """Lines of a Markdown table of figures."""
    head = ["| figure | value | bound | verdict | beside it |", "| --- | --- | --- | --- | --- |"]
    return [*head, *map(_line, criteria)]


def _line(criterion: Criterion) -> str:
    name = criterion.figure + (f": {criterion.structure}" if criterion.structure else "")
    value = "not measured" if criterion.value is None else f"{criterion.value:.3f}"
    verdict = {True: "met", False: "**missed**", None: "-"}[criterion.passed]
    beside = [f"{key.replace('_', ' ')} {_number(v)}" for key, v in criterion.beside.items()]
    remarks = "; ".join([*beside, criterion.note] if criterion.note else beside)
    return f"| {name} | {value} | {criterion.goal} | {verdict} | {remarks} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _mosaic_rows(plan: BenchPlan, out: Path) -> list[MosaicRow]:
    pool = PoolDataset(out / POOL)
    rows = []
    for entry in pool.cases[:MOSAIC_PAIRS]:
        assert entry.mask.source_case is not None
        synthetic, real = pool.read(entry), plan.heldout.dataset.load(entry.mask.source_case)
        rows += [
            MosaicRow.of(real, f"real: {real.case_id}"),
            MosaicRow.of(synthetic, f"synthetic for the mask of {real.case_id}"),
        ]
    return rows
