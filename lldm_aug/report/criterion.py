"""A figure, the bounds that it is held against, and the verdict as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lldm_aug.record import Record


@dataclass(frozen=True)
class Goal:
    """An interval that a figure is to lie in, bounds included; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"

    def met(self, value: float) -> bool:
        """Whether the figure lies in it."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Criterion(Record):
    """One figure and what became of it.

    Args:
        figure: what was measured.
        structure: of which structure, if of one.
        value: the figure; None where it could not be measured (see `note`).
        goal: the bounds in words.
        passed: whether the value is within them; None without a value.
        beside: what the value has to be read with: controls, real-vs-real distances, standard errors.
        note: a remark, such as why there is no value.
    """

    figure: str
    structure: str | None
    value: float | None
    goal: str
    passed: bool | None
    beside: dict[str, float | None]
    note: str


def judge(
    figure: str,
    goal: Goal,
    value: float | None,
    *,
    structure: str | None = None,
    beside: Mapping[str, float | None] | None = None,
    note: str = "",
) -> Criterion:
    """The verdict on one figure; values that are not finite count as not measured."""
    value = finite(value)
    return Criterion(
        figure=figure,
        structure=structure,
        value=value,
        goal=str(goal),
        passed=None if value is None else goal.met(value),
        beside={name: finite(v) for name, v in (beside or {}).items()},
        note=note or ("" if value is not None else "could not be measured"),
    )


def finite(value: float | None) -> float | None:
    """The value as JSON can hold it: None for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def ratio(a: float, b: float) -> float:
    """a / b; NaN where b is not above zero."""
    return a / b if b > 0 else math.nan
