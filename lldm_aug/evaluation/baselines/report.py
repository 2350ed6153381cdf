"""The report of a comparison: ``results.json``, a CSV file a table, ``report.md`` and ``mosaic.png``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lldm_aug.evaluation.baselines.budget import missed
from lldm_aug.evaluation.baselines.plan import FidelityBench
from lldm_aug.evaluation.baselines.run import PAIRS, Compared, source_of
from lldm_aug.evaluation.baselines.tables import make_tables, training_seconds
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.machine import Machine
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.record import Record
from lldm_aug.report.table import Table
from lldm_aug.version import __version__

RESULTS_FILE = "results.json"
REPORT_FILE = "report.md"
MOSAIC_FILE = "mosaic.png"
MOSAIC_MASKS = 2
PAPERS_RATIOS = "The paper reports 0.291 of a GAN's FID and 0.733 of diffusion baselines' (arXiv 2603.23845)."


class FidelityBenchResults(Record):
    """What ``results.json`` holds.

    Args:
        lldm_aug_version: version that measured.
        machine: on which.
        data: data set and fold that all methods were trained on, and number of cases.
        heldout: data set, ids of both sets, and cases left out.
        seconds: of training that each method was given; None for the settings' steps.
        autoencoder_share: of that time.
        models: hash of each method's model.
        network: features' name and identity.
        referee: its hash, if there is one.
        seed: of the generated images.
        config: settings of all methods, but for steps.
        tables: every figure, ``fidelity`` first.
        notes: what was left out or has to be known.
    """

    lldm_aug_version: str
    machine: Machine
    data: dict[str, Any]
    heldout: dict[str, Any]
    seconds: float | None
    autoencoder_share: float
    models: dict[str, str]
    network: dict[str, str]
    referee: str | None
    seed: int
    config: dict[str, Any]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def write_report(
    plan: FidelityBench, compared: Compared, network: FeatureNetwork, machine: Machine, out: Path, run: Path
) -> FidelityBenchResults:
    """Makes figures of measurements and writes all files, each atomically."""
    results = _compile(plan, compared, network, machine, run)
    for table in results.tables:
        write_text(out / f"{table.name}.csv", table.csv())
    write_text(out / REPORT_FILE, _markdown(results))
    write_mosaic(
        out / MOSAIC_FILE,
        _mosaic_rows(plan, out),
        title="Real, and each method for the same mask",
        schema=plan.dataset.schema,
    )
    write_json(out / RESULTS_FILE, results.model_dump(mode="json"))
    return results


def _compile(
    plan: FidelityBench, compared: Compared, network: FeatureNetwork, machine: Machine, run: Path
) -> FidelityBenchResults:
    heldout = plan.heldout
    taken = {row.method.name: training_seconds(row.method, run) for row in compared.rows}
    return FidelityBenchResults(
        lldm_aug_version=__version__,
        machine=machine,
        data={"dataset": plan.dataset.name, "fold": plan.fold, "cases": plan.training_cases},
        heldout={
            "dataset": heldout.dataset.name,
            "masks": list(heldout.masks),
            "others": list(heldout.others),
            "unusable": heldout.unusable,
        },
        seconds=plan.seconds,
        autoencoder_share=plan.autoencoder_share,
        models={row.method.name: row.identity for row in compared.rows},
        network={"name": network.name, "identity": network.identity},
        referee=None if plan.referee is None else plan.referee.hash,
        seed=plan.seed,
        config=plan.config.model_dump(mode="json"),
        tables=make_tables(plan, compared, run),
        notes=(*plan.notes, plan.terms, *missed(plan.seconds, taken), PAPERS_RATIOS),
    )


def _markdown(results: FidelityBenchResults) -> str:
    data, heldout = results.data, results.heldout
    lines = [
        "# Fidelity of generator and baselines",
        "",
        f"Trained on {data['cases']} cases of {data['dataset']}, fold {data['fold']}; held-out cases of "
        f"{heldout['dataset']}. Features: {results.network['name']}. Timings: {results.machine}. Made by lldm_aug "
        f"{results.lldm_aug_version}.",
        "",
    ]
    for table in results.tables:
        lines += [f"## {table.title}", "", table.markdown(), table.note, ""]
    return "\n".join([*lines, *(f"- {note}" for note in results.notes), "", f"Pictures: `{MOSAIC_FILE}`.", ""])


def _mosaic_rows(plan: FidelityBench, out: Path) -> list[MosaicRow]:
    pools = {method.name: PoolDataset(out / PAIRS / method.name) for method in plan.methods}
    rows = []
    for number, entry in enumerate(pools[plan.methods[0].name].cases[:MOSAIC_MASKS]):
        real = plan.heldout.dataset.load(source_of(entry))
        rows.append(MosaicRow.of(real, f"real: {real.case_id}"))
        for name, pool in pools.items():
            rows.append(MosaicRow.of(pool.read(pool.cases[number]), name))
    return rows
