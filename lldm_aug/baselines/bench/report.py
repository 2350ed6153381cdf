"""The report of a comparison: ``results.json``, a CSV file a table, ``report.md`` and ``mosaic.png``."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from lldm_aug import __version__
from lldm_aug.baselines.bench.distances import Distances, Figure
from lldm_aug.baselines.bench.plan import FidelityBench
from lldm_aug.baselines.bench.run import PAIRS, Compared, Row
from lldm_aug.data.raw import Case
from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.evaluation.goals import finite, ratio
from lldm_aug.evaluation.machine import Machine
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.record import Record
from lldm_aug.report.mosaic import MosaicRow, write_mosaic
from lldm_aug.report.table import Cell, Table
from lldm_aug.training.timing import trained_seconds, trained_steps

RESULTS_FILE = "results.json"
REPORT_FILE = "report.md"
MOSAIC_FILE = "mosaic.png"
MOSAIC_MASKS = 2
FLOOR = "real"
COLUMNS = (
    *("method", "FID", "FID error", "KID", "KID error", "FID plain"),
    *("ours / this FID", "ours / this KID", "FID over floor", "KID over floor"),
    *("weights (million)", "training (s)", "steps", "per case (s)"),
)
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
        seed: of the generated images.
        config: settings of all methods, but for steps.
        tables: ``fidelity`` and ``training``.
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
    return FidelityBenchResults(
        lldm_aug_version=__version__,
        machine=machine,
        data={"dataset": plan.dataset.name, "fold": plan.fold},
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
        seed=plan.seed,
        config=plan.config.model_dump(mode="json"),
        tables=(_fidelity(compared, run), _training(plan, run)),
        notes=(*plan.notes, _equal(plan), PAPERS_RATIOS),
    )


def _fidelity(compared: Compared, run: Path) -> Table:
    """Table ``fidelity``: a line a method, ours first, and the floor."""
    found = [Distances.between(row.features, compared.others) for row in compared.rows]
    ours, floor = found[0], Distances.between(compared.real, compared.others)
    lines = [
        (row.method.name, *_figures(of, ours, floor), *_costs(row, run))
        for row, of in zip(compared.rows, found, strict=True)
    ]
    lines.append((FLOOR, *_figures(floor, ours, floor), None, None, None, None))
    n, slices = len(compared.others), min(sum(map(len, plane)) for plane in _by_plane(compared))
    return Table(
        name="fidelity",
        title=f"Images for the masks of {n} held-out cases, compared with {len(compared.others)} others",
        columns=COLUMNS,
        rows=tuple(lines),
        note=f"'{FLOOR}': the very cases that lent the masks, the floor. FID: in random subspaces with full-rank "
        f"covariances; FID plain: all features, of {slices} slices a plane. Means over planes; errors by leaving out "
        "cases. Training: seconds of all steps, the autoencoder's with it. Per case: median, files written.",
    )


def _by_plane(compared: Compared) -> list[list[Any]]:
    planes = sorted(compared.others[0])
    return [[case[plane] for case in compared.others] for plane in planes]


def _figures(of: Distances, ours: Distances, floor: Distances) -> tuple[Cell, ...]:
    def over(a: Figure, b: Figure) -> Cell:
        return finite(ratio(a.value, b.value))

    values = (of.fid.value, of.fid.error, of.kid.value, of.kid.error, of.fid_plain.value)
    ratios = (over(ours.fid, of.fid), over(ours.kid, of.kid), over(of.fid, floor.fid), over(of.kid, floor.kid))
    return (*map(finite, values), *ratios)


def _costs(row: Row, run: Path) -> tuple[Cell, ...]:
    seconds = sum(trained_seconds(run / stage) for stage in row.method.stages)
    steps = trained_steps(run / row.method.stages[-1])
    return row.weights / 1e6, seconds, steps, median(row.seconds) if row.seconds else None


def _training(plan: FidelityBench, run: Path) -> Table:
    """Table ``training``: a line a stage."""
    rows: list[tuple[Cell, ...]] = []
    for stage in dict.fromkeys(stage for method in plan.methods for stage in method.stages):
        steps, seconds = trained_steps(run / stage), trained_seconds(run / stage)
        batch = int(getattr(plan.config.train, stage).batch_size)
        methods = ", ".join(m.name for m in plan.methods if stage in m.stages)
        rows.append((stage, methods, steps, batch, seconds, seconds / steps if steps else None))
    columns = ("stage", "for", "steps", "batch", "seconds", "seconds per step")
    return Table(name="training", title="How long each stage was trained", columns=columns, rows=tuple(rows))


def _equal(plan: FidelityBench) -> str:
    if plan.seconds is None:
        return "methods were trained for the settings' steps, not for equal times: compare their seconds"
    return (
        f"each method was given {plan.seconds / 60:g} minutes on one machine, the autoencoder's "
        f"{plan.autoencoder_share:.0%} counted for each method that has one; steps were set by the time of the first "
        "ones. Preparing cases, encoding latents once, and exports are not counted"
    )


def _markdown(results: FidelityBenchResults) -> str:
    data, heldout = results.data, results.heldout
    lines = [
        "# Fidelity of generator and baselines",
        "",
        f"Trained on {data['dataset']}, fold {data['fold']}; held-out cases of {heldout['dataset']}. Features: "
        f"{results.network['name']}. Timings: {results.machine}. Made by lldm_aug {results.lldm_aug_version}.",
        "",
    ]
    for table in results.tables:
        lines += [f"## {table.title}", "", table.markdown(), table.note, ""]
    return "\n".join([*lines, *(f"- {note}" for note in results.notes), "", f"Pictures: `{MOSAIC_FILE}`.", ""])


def _mosaic_rows(plan: FidelityBench, out: Path) -> list[MosaicRow]:
    pools = {method.name: PoolDataset(out / PAIRS / method.name) for method in plan.methods}
    rows = []
    for number, entry in enumerate(pools[plan.methods[0].name].cases[:MOSAIC_MASKS]):
        assert entry.mask.source_case is not None
        rows.append(_picture(plan.heldout.dataset.load(entry.mask.source_case), f"real: {entry.mask.source_case}"))
        for name, pool in pools.items():
            rows.append(_picture(pool.read(pool.cases[number]), name))
    return rows


def _picture(case: Case, caption: str) -> MosaicRow:
    image, label = to_canonical(case.image[0], case.grid), to_canonical(case.label, case.grid)
    return MosaicRow(image, label, canonical_grid(case.grid).spacing_mm, caption)
