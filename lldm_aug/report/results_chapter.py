"""The chapter on an evaluation: whatever ``results.json`` holds in tables, criteria and notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from lldm_aug.errors import LldmAugError
from lldm_aug.io.records import read_json
from lldm_aug.pool.manifest import POOL_FILE, read_info
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.report.charts import Curve, draw_curves, forest_charts
from lldm_aug.report.content import Chapter, Chart, Part
from lldm_aug.report.criterion import Criterion
from lldm_aug.report.data_table import Cell, Table, heading, in_words
from lldm_aug.report.embedded import embed_picture
from lldm_aug.report.leaks import Asked, LeakState
from lldm_aug.report.pool_chapter import pool_pairs

RESULTS_FILES = ("results.json", "blending.json")
NEAREST_PAIRS = 8
"""Suspected copies that are shown side by side."""
LONG = 6
"""Lists of more entries are counted instead of shown."""
SHA256_DIGITS = 64
LETTERS = 280
"""Longer facts are cut; they are whole in the evaluation's own file."""
ELSEWHERE = ("goals", "criteria", "gains", "copies", "copy_verdicts", "curves", "cells")
"""Tables that have a part of their own."""
SHOWN_ELSEWHERE = (
    "lldm_aug_version",
    "tables",
    "criteria",
    "detail",
    "notes",
    "copies",
    "copies_rule",
    "nearest_pairs",
)
"""Fields that are not facts in short."""
COPIES_COLUMNS = {"pair", "space", "distance", "nearest", "held_out_quantile"}
CURVES_COLUMNS = {"network", "arm", "step", "loss"}


def results_chapter(folder: Path, asked: Asked) -> Chapter:
    """An evaluation's figures, forest plots of its gains, its learning curves, mosaic and suspected copies.

    Raises:
        LldmAugError: when the results cannot be read, or hold neither tables nor criteria.
    """
    raw = read_results(folder)
    tables = {table.name: table for table in _tables(raw, folder) if table.rows}
    pool = folder / "pool"
    generator = read_info(pool).generator if (pool / POOL_FILE).is_file() else None
    parts = (
        Part("Goals", tables=tuple(tables[name] for name in ("goals", "criteria") if name in tables)),
        *_gains(tables.get("gains")),
        Part("Figures", tables=tuple(table for name, table in tables.items() if name not in ELSEWHERE)),
        _curves(tables.get("curves")),
        _copies([tables[name] for name in ("copy_verdicts", "copies") if name in tables], raw, folder),
        _mosaic(folder),
        Part("Every cell", tables=tuple(tables[name] for name in ("cells", "curves") if name in tables), folded=True),
    )
    return Chapter(
        folder.resolve().name,
        "evaluation",
        _facts(raw),
        generator.stages if generator is not None else (),
        _leak(generator, asked),
        tuple(part for part in parts if not part.empty),
        pool_pairs(pool, asked.pairs) if generator is not None else (),
        tuple(map(str, raw.get("notes", ()))),
    )


def read_results(folder: Path) -> dict[str, Any]:
    """The results file of an evaluation's folder.

    Raises:
        LldmAugError: when it cannot be read.
    """
    path = next(folder / name for name in RESULTS_FILES if (folder / name).is_file())
    return read_json(path, error=LldmAugError, fix="run the evaluation again")


def _tables(raw: Mapping[str, Any], folder: Path) -> list[Table]:
    try:
        tables = [Table.model_validate(table) for table in raw.get("tables", ())]
        criteria = [Criterion.model_validate(criterion) for criterion in raw.get("criteria", ())]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        found = f"no valid results ({'.'.join(map(str, fault['loc']))}: {fault['msg']})"
        raise LldmAugError(found, where=folder, fix="run the evaluation again with this version") from error
    if criteria and all(table.name != "criteria" for table in tables):
        tables.insert(0, _criteria_table(criteria))
    if not tables:
        raise LldmAugError("its results have neither tables nor criteria", where=folder)
    return tables


def _criteria_table(criteria: Sequence[Criterion]) -> Table:
    return Table(
        name="criteria",
        title="Figures and their bounds",
        columns=("figure", "structure", "value", "bound", "verdict", "to be read with"),
        rows=tuple(_criterion_row(criterion) for criterion in criteria),
    )


def _criterion_row(criterion: Criterion) -> tuple[Cell, ...]:
    verdict = {True: "met", False: "missed", None: "not measured"}[criterion.passed]
    beside = [f"{heading(name)} {in_words(value)}" for name, value in criterion.beside.items()]
    remarks = "; ".join(filter(None, [*beside, criterion.note]))
    return criterion.figure, criterion.structure, criterion.value, criterion.goal, verdict, remarks


def _facts(raw: Mapping[str, Any]) -> dict[str, str]:
    """Everything else at the top of the file, in short: an evaluation decides itself what it says there."""
    facts = {"made by": f"lldm_aug {raw['lldm_aug_version']}"} if "lldm_aug_version" in raw else {}
    for key, value in raw.items():
        if key in SHOWN_ELSEWHERE:
            continue
        inner = value if isinstance(value, Mapping) and key != "machine" else {"": value}
        facts |= {heading(f"{key} {k}".strip()): _in_short(v) for k, v in inner.items() if v not in (None, {}, [], "")}
    return facts


def _in_short(value: Any) -> str:
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value)} entries"
    text = in_words(value)
    if len(text) == SHA256_DIGITS and text.isalnum():
        return text[:12]
    return text if len(text) <= LETTERS else f"{text[:LETTERS]} …"


def _leak(generator: GeneratorProvenance | None, asked: Asked) -> LeakState | None:
    if generator is None or asked.dataset is None:
        return None  # held-out cases that a stage saw are refused before anything is measured
    return asked.leak_state(generator)


def _gains(table: Table | None) -> Iterator[Part]:
    """The first metric in the open; the others, and all figures, folded."""
    if table is None:
        return
    charts = [*forest_charts(table).values()]
    yield Part("Gains", charts=tuple(charts[0]) if charts else (), text=(table.note,) if charts and table.note else ())
    others = tuple(chart for more in charts[1:] for chart in more)
    yield Part("Gains in other metrics, and as a table", charts=others, tables=(table,), folded=True)


def _curves(table: Table | None) -> Part:
    charts = _curve_charts(table) if table is not None and set(table.columns) >= CURVES_COLUMNS else ()
    return Part("Learning curves", charts=tuple(charts))


def _curve_charts(table: Table) -> Iterator[Chart]:
    """A chart for each network and label fraction, a line for each arm: the mean over folds and seeds."""
    values: dict[tuple[str, str], dict[str, dict[float, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        step, loss = row["step"], row["loss"]
        if isinstance(step, (int, float)) and isinstance(loss, (int, float)):
            group = str(row["network"]), in_words(row.get("label_fraction"))
            values[group][str(row["arm"])].setdefault(step, []).append(loss)
    for (network, label_fraction), arms in values.items():
        curves = [Curve(arm, sorted(found), [fmean(found[s]) for s in sorted(found)]) for arm, found in arms.items()]
        chart = draw_curves(curves, f"{network}, label fraction {label_fraction}", "loss", "Mean over folds and seeds.")
        if chart is not None:
            yield chart


def _copies(tables: Sequence[Table], raw: Mapping[str, Any], folder: Path) -> Part:
    pictures = tuple(
        embed_picture(path, heading(path.stem))
        for path in sorted((folder / "nearest_pairs").glob("*.png"))[:NEAREST_PAIRS]
    )
    verdict = raw.get("copies_verdict")
    text = (
        *((f"Verdict: {verdict}.",) if verdict else ()),
        "Nearest to a training case first. The held-out quantile is the share of held-out real cases that are as near "
        "to a training case, or nearer: at 0, the pair is nearer than any real patient was.",
    )
    return Part("Suspected copies", text if tables else (), tuple(map(_most_suspicious_first, tables)), (), pictures)


def _most_suspicious_first(table: Table) -> Table:
    if not set(table.columns) >= COPIES_COLUMNS:
        return table
    quantile = table.columns.index("held_out_quantile")
    return table.model_copy(update={"rows": tuple(sorted(table.rows, key=lambda row: _figure(row[quantile])))})


def _figure(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else float("inf")


def _mosaic(folder: Path) -> Part:
    path = folder / "mosaic.png"
    caption = "Real and synthetic cases for the same masks, slices through the rarest structure."
    return Part("Mosaic", pictures=(embed_picture(path, caption),) if path.is_file() else ())
