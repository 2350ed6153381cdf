"""The report of an evaluation: ``results.json``, a CSV file a table, ``report.md`` and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lldm_aug.data.raw import RawDataset
from lldm_aug.evaluation.comparison import Comparison
from lldm_aug.evaluation.heldout import HeldOut
from lldm_aug.evaluation.measure.features import FeatureNetwork
from lldm_aug.evaluation.tables.memorization import RULE, CopyVerdict, overall
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.machine import Machine
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record
from lldm_aug.report.criterion import Criterion
from lldm_aug.report.data_table import Table
from lldm_aug.version import __version__

RESULTS_FILE = "results.json"
REPORT_FILE = "report.md"
MOSAIC_FILE = "mosaic.png"
MOST_ROWS = 30
"""Of a table in ``report.md``."""


class Results(Record):
    """What every ``results.json`` holds.

    Args:
        lldm_aug_version: version that measured.
        machine: on which.
        tables: every figure.
        notes: what was left out or has to be known.
    """

    lldm_aug_version: str
    machine: Machine
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


class ComparisonResults(Results):
    """What ``results.json`` of a comparison holds besides.

    Args:
        seed: of the run.
        networks: name and identity of each feature network.
        segmenter: hash of the evaluation segmenter, if there is one.
        view: voxels, spacing and scale in which all was compared.
        copies: the memorization check of the first pool, by each distance.
        copies_verdict: the worst of its verdicts; None where copies were not looked for.
        copies_rule: how verdicts come about.
        nearest_pairs: pictures of pairs beside their nearest training case.
    """

    seed: int
    networks: tuple[dict[str, str], ...]
    segmenter: str | None
    view: dict[str, Any]
    copies: tuple[CopyVerdict, ...]
    copies_verdict: str | None
    copies_rule: str
    nearest_pairs: tuple[str, ...]


def comparison_facts(
    comparison: Comparison, tables: Iterable[Table], notes: Iterable[str], out: Path, machine: Machine
) -> dict[str, Any]:
    """The fields of `ComparisonResults`; draws the suspects of the first pool.

    Args:
        comparison: what was measured.
        tables: those that come before the tables of the comparison.
        notes: of the plan.
        out: the report's folder.
        machine: that measured.
    """
    first, view = next(iter(comparison.pools)), comparison.reader.view
    by_pool = comparison.tables
    joined = [stacked({name: found[table] for name, found in by_pool.items()}) for table in by_pool[first]]
    verdicts = comparison.verdicts(first)
    return {
        "lldm_aug_version": __version__,
        "machine": machine,
        "seed": comparison.seed,
        "tables": (*tables, *joined),
        "notes": (*notes, *_design_notes(comparison, first)),
        "networks": networks_facts(comparison.networks),
        "segmenter": comparison.segmenter,
        "view": {
            "shape": view.shape,
            "spacing_mm": view.spacing_mm,
            "scale": None if view.scale is None else view.scale.model_dump(mode="json"),
        },
        "copies": verdicts,
        "copies_verdict": overall(verdicts),
        "copies_rule": RULE,
        "nearest_pairs": tuple(map(str, comparison.draw_nearest_pairs(first, out))),
    }


def stacked(tables: Mapping[str, Table]) -> Table:
    """One table of those of several pools, the pool's name before each line; that of a single pool as it is."""
    first = next(iter(tables.values()))
    if len(tables) == 1:
        return first
    rows = tuple((name, *row) for name, table in tables.items() for row in table.rows)
    notes = dict.fromkeys(table.note for table in tables.values())
    return first.model_copy(update={"columns": ("images", *first.columns), "rows": rows, "note": " ".join(notes)})


def heldout_facts(heldout: HeldOut) -> dict[str, Any]:
    """Data set and fold of held-out cases, ids of both sets, and cases left out."""
    return {
        "dataset": heldout.dataset.name,
        "fold": heldout.fold,
        "masks": list(heldout.masks),
        "others": list(heldout.others),
        "unusable": heldout.unusable,
    }


def training_facts(training: RawDataset | None, case_ids: tuple[str, ...]) -> dict[str, Any] | None:
    """The data set that was searched for copies, if any, and how many cases."""
    return None if training is None else {"dataset": training.name, "cases": len(case_ids)}


def stages_in_words(stages: Iterable[StageProvenance]) -> tuple[str, ...]:
    """Data set and fold of each stage."""
    return tuple(f"{stage.stage}: {stage.dataset} fold {stage.fold}" for stage in stages)


def networks_facts(networks: Iterable[FeatureNetwork]) -> tuple[dict[str, str], ...]:
    """Name and identity of each feature network."""
    return tuple({"name": network.name, "identity": network.identity} for network in networks)


def _design_notes(comparison: Comparison, name: str) -> list[str]:
    pairs = comparison.pools[name]
    if not pairs.by_design:
        return []
    return [
        f"{len(pairs.by_design)} of {len(pairs.cases)} pairs were made for the mask of a training case, or one made "
        "from it: such masks are near by design and not judged, and their images are nearer to that case than those of "
        "unrelated anatomy, so that 'copies' and 'too close' may mean no more than that. Look at the pictures"
    ]


def write_results(out: Path, results: Results, text: str) -> None:
    """Writes results, tables and report, each file atomically."""
    for table in results.tables:
        write_text(out / f"{table.name}.csv", table.csv())
    write_text(out / REPORT_FILE, text)
    write_json(out / RESULTS_FILE, results.model_dump(mode="json"))


def markdown(title: str, introduction: str, results: ComparisonResults, criteria: Iterable[Criterion] = ()) -> str:
    """The report in words and tables; of copies only the verdicts and the most suspicious pairs."""
    judged = [*criteria]
    lines = [
        f"# {title}",
        "",
        f"{introduction} Features: {', '.join(network['name'] for network in results.networks)}. Made by lldm_aug "
        f"{results.lldm_aug_version}, seed {results.seed}, on {results.machine}.",
        "",
        *([*criteria_table(judged), ""] if judged else []),
        f"**Copies of training cases: {results.copies_verdict or 'not looked for'}.**",
        "",
        *(f"- {note}" for note in results.notes),
        "",
        *tables_in_words(results.tables),
    ]
    if results.nearest_pairs:
        lines += ["## Nearest pairs beside their training case", ""]
        lines += [line for path in results.nearest_pairs for line in (f"![{Path(path).stem}]({path})", "")]
    return "\n".join([*lines, f"All numbers: `{RESULTS_FILE}`.", ""])


def tables_in_words(tables: Iterable[Table]) -> list[str]:
    """Lines of a report with each table that has any rows, long ones cut."""
    lines: list[str] = []
    for table in tables:
        if not table.rows:
            continue
        shown = table.model_copy(update={"rows": table.rows[:MOST_ROWS]})
        lines += [f"## {table.title}", "", shown.markdown(), table.note]
        if len(table.rows) > MOST_ROWS:
            lines.append(f"The first {MOST_ROWS} of {len(table.rows)} lines; all: `{table.name}.csv`.")
        lines.append("")
    return lines


def criteria_table(criteria: Iterable[Criterion]) -> list[str]:
    """Lines of a Markdown table of figures with their bounds."""
    head = ["| figure | value | bound | verdict | beside it |", "| --- | --- | --- | --- | --- |"]
    return [*head, *map(_criterion_line, criteria)]


def _criterion_line(criterion: Criterion) -> str:
    name = criterion.figure + (f": {criterion.structure}" if criterion.structure else "")
    value = "not measured" if criterion.value is None else f"{criterion.value:.3f}"
    verdict = {True: "met", False: "**missed**", None: "-"}[criterion.passed]
    beside = [f"{key.replace('_', ' ')} {'-' if v is None else f'{v:.3g}'}" for key, v in criterion.beside.items()]
    remarks = "; ".join([*beside, criterion.note] if criterion.note else beside)
    return f"| {name} | {value} | {criterion.goal} | {verdict} | {remarks} |"


def draw_mosaic(out: Path, real: RawDataset, pools: Mapping[str, PoolDataset], count: int, title: str) -> None:
    """``mosaic.png``: for the first masks the real case that lent each, and the pairs of pools made for it."""
    rows = []
    for number, pair in enumerate(next(iter(pools.values())).cases[:count]):
        assert pair.mask.source_case is not None  # these pools were made for real cases' masks
        case = real.load(pair.mask.source_case)
        rows.append(MosaicRow.of(case, f"real: {case.case_id}"))
        for name, pool in pools.items():
            rows.append(MosaicRow.of(pool.read(pool.cases[number]), name))
    write_mosaic(out / MOSAIC_FILE, rows, title=title, schema=real.schema)
