"""Tables of a study cut down to what a reader looks for first; the CSV files have them whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lldm_aug.evaluation.utility.tables import EMPTY_KINDS
from lldm_aug.report.table import Cell, Table

POINTS = 100
"""Dice points in a Dice of 1."""
Row = Mapping[str, Cell]


def dice_gains(gains: Table) -> Iterator[Table]:
    """The Dice gains of each arm and share: networks down, structures across, in points.

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
            title=f"Gains of {arm} in Dice points, share {label_fraction}",
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


def _named(table: Table, rows: Sequence[Sequence[Cell]]) -> list[Row]:
    return [dict(zip(table.columns, cells, strict=True)) for cells in rows]


def _in_points(row: Row) -> str:
    gain, low, high, p = (row[name] for name in ("gain", "low", "high", "p_holm"))
    text = _signed(gain)
    if low is not None:
        text += f" ({_signed(low)} to {_signed(high)})"
    return f"{text} *" if isinstance(p, float) and p < 0.05 else text


def _signed(gain: Cell) -> str:
    return f"{POINTS * float(gain or 0):+.1f}"


def _cases(rows: Sequence[Row]) -> str:
    numbers = sorted({int(row["n"] or 0) for row in rows})
    return f"{numbers[0]} cases" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} cases"
