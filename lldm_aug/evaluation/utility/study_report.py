"""A study's folder: ``results.json``, a CSV file for each table, and ``report.md`` with the tables in short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lldm_aug.anatomy.declaration import find_anatomy
from lldm_aug.evaluation.evaluation_report import RESULTS_FILE, Results, write_results
from lldm_aug.evaluation.utility.cell import Cell
from lldm_aug.evaluation.utility.data import StudyData
from lldm_aug.evaluation.utility.pairing import compare
from lldm_aug.evaluation.utility.study import finished, statistics_file
from lldm_aug.evaluation.utility.study_plan import MONAI, StudyPlan
from lldm_aug.evaluation.utility.study_tables import (
    EMPTY_KINDS,
    arms_table,
    cells_table,
    curves_table,
    empty_table,
    gains_table,
    goals_table,
    lesions_table,
    means_table,
)
from lldm_aug.io.atomic import read_json_lines
from lldm_aug.machine import Machine
from lldm_aug.report.data_table import Cell as Entry
from lldm_aug.report.data_table import Table
from lldm_aug.version import __version__

LONG = frozenset({"cells", "curves"})
"""Tables that the report leaves to their CSV files."""
MOST_POINTS = 100
"""Of a learning curve."""


class UtilityResults(Results):
    """What ``results.json`` holds besides.

    Args:
        study: data sets, networks, arms, label fractions, folds, seeds and settings.
        cells: how many are finished, and of how many.
    """

    study: dict[str, Any]
    cells: tuple[int, int]


def compile_results(plan: StudyPlan, data: StudyData, machine: Machine) -> UtilityResults:
    """The figures of all finished cells; errors as `finished`."""
    scores, cells = finished(plan, data), tuple(plan.cells())
    gains = compare(scores)
    notes = list(plan.notes)
    if len(scores) < len(cells):
        notes.append(
            f"unfinished: {len(scores)} of {len(cells)} cells; run the same command, or its other parts, to go on"
        )
    tables = (
        goals_table(gains, cells, scores, find_anatomy(plan.dataset).lesions),
        arms_table(data),
        gains_table(gains),
        means_table(scores),
        empty_table(scores),
        lesions_table(scores),
        cells_table(scores),
        curves_table({cell: _curve(plan, cell) for cell in scores}),
    )
    return UtilityResults(
        lldm_aug_version=__version__,
        machine=machine,
        study=_describe(plan),
        cells=(len(scores), len(cells)),
        tables=tables,
        notes=tuple(notes),
    )


def write_report(plan: StudyPlan, results: UtilityResults) -> None:
    """Writes all files, each atomically."""
    write_results(plan.out, results, markdown(results))


def markdown(results: UtilityResults) -> str:
    """The report, without the long tables."""
    study, settings = results.study, results.study["settings"]
    judged = study["held_out"] or "the folds' validation cases"
    trained = (
        f"{settings['batch_size']} x {_sides(settings['patch'])} voxels of {_sides(settings['spacing_mm'])} mm"
        if settings["engine"] == MONAI
        else f"nnU-Net's batches ({settings['plans']}, {settings['configuration']})"
    )
    lines = [
        "# Do synthetic cases help?",
        "",
        f"{results.cells[0]} of {results.cells[1]} cells: {', '.join(study['networks'])}; {study['dataset']}, folds "
        f"{', '.join(map(str, study['folds']))}, label fractions {', '.join(map(str, study['label_fractions']))}, "
        f"seeds {', '.join(map(str, study['seeds']))}; scored on {judged}. Every arm had {settings['steps']} steps "
        f"of {trained}. NSD at "
        f"{settings['tolerance_mm']:.3g} mm. Made by lldm_aug {results.lldm_aug_version} on {results.machine}.",
        "",
        *(f"- {note}" for note in results.notes),
    ]
    for table in _in_short(results.tables):
        if table.name not in LONG and table.rows:
            lines += ["", f"## {table.title}", "", table.markdown(), table.note]
    lines += ["", f"Gains in other metrics: `gains.csv`. Every case: `cells.csv`. Everything: `{RESULTS_FILE}`."]
    return "\n".join(lines) + "\n"


def _in_short(tables: Sequence[Table]) -> Iterator[Table]:
    for table in tables:
        if table.name == "gains":
            yield from dice_gains(table)
        else:
            yield where_empty(table) if table.name == "empty" else table


def _sides(sides: Sequence[float]) -> str:
    return " x ".join(f"{side:g}" for side in sides)


def _describe(plan: StudyPlan) -> dict[str, Any]:
    return {
        "dataset": plan.dataset.name,
        "held_out": None if plan.held_out is None else plan.held_out.name,
        "networks": list(plan.networks),
        "arms": [str(arm) for arm in plan.arms],
        "label_fractions": list(plan.label_fractions),
        "folds": list(plan.folds),
        "seeds": list(plan.seeds),
        "settings": plan.settings.model_dump(mode="json"),
        "labelled": {
            f"fold {f}, label fraction {s:g}": list(source.labelled) for (f, s), source in plan.sources.items()
        },
    }


def _curve(plan: StudyPlan, cell: Cell) -> list[tuple[int, float]]:
    lines = [(int(line["step"]), float(line["loss"])) for line in read_json_lines(statistics_file(cell, plan.out))]
    return lines[:: max(1, len(lines) // MOST_POINTS)]


POINTS = 100
"""Dice points in a Dice of 1."""
Row = Mapping[str, Entry]


def dice_gains(gains: Table) -> Iterator[Table]:
    """The Dice gains of each arm and label fraction: networks down, structures across, in points.

    Args:
        gains: see `gains_table`.
    """
    rows = [row for row in _named(gains, gains.rows) if row["metric"] == "dice"]
    for label_fraction, arm in dict.fromkeys((row["label_fraction"], row["arm"]) for row in rows):
        mine = [row for row in rows if (row["label_fraction"], row["arm"]) == (label_fraction, arm)]
        found = {(row["network"], row["structure"]): _in_points(row) for row in mine}
        networks, structures = (dict.fromkeys(row[name] for row in mine) for name in ("network", "structure"))
        yield Table(
            name="gains",
            title=f"Gains of {arm} in Dice points, label fraction {label_fraction}",
            columns=("network", *map(str, structures)),
            rows=tuple((network, *(found.get((network, name)) for name in structures)) for network in networks),
            note=(
                f"Over the arm 'real', in points (0.01 of Dice), with 95 % intervals over {_cases(mine)}; * where the "
                "Holm-corrected p is below 0.05."
            ),
        )


def where_empty(empty: Table) -> Table:
    """Of the table of empty structures, the rows where there are some."""
    rows = tuple(
        cells
        for cells, row in zip(empty.rows, _named(empty, empty.rows), strict=True)
        if any(row[kind] for kind in EMPTY_KINDS)
    )
    note = f"{empty.note} Rows without any are left out."
    return empty.model_copy(update={"rows": rows, "note": note})


def _named(table: Table, rows: Sequence[Sequence[Entry]]) -> list[Row]:
    return [dict(zip(table.columns, cells, strict=True)) for cells in rows]


def _in_points(row: Row) -> str:
    gain, low, high, p = (row[name] for name in ("gain", "low", "high", "p_holm"))
    text = _signed(gain)
    if low is not None:
        text += f" ({_signed(low)} to {_signed(high)})"
    return f"{text} *" if isinstance(p, float) and p < 0.05 else text


def _signed(gain: Entry) -> str:
    return f"{POINTS * float(gain or 0):+.1f}"


def _cases(rows: Sequence[Row]) -> str:
    numbers = sorted({int(row["n"] or 0) for row in rows})
    return f"{numbers[0]} cases" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} cases"
