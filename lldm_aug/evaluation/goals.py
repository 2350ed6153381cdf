"""The bounds that figures of a generator are held against, and the verdict as data."""

from __future__ import annotations

import math
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


FAITHFULNESS = Goal(low=0.95)
"""Referee's Dice on synthetic images, as a share of its Dice on real ones."""
KID = Goal(high=2.0)
"""KID of synthetic to real images, in units of KID between two halves of the real ones."""
TEXTURE = Goal(low=0.85, high=1.15)
"""High-pass standard deviation of liver parenchyma, synthetic over real."""
SIGNAL = Goal(low=-0.25, high=0.25)
"""Difference of a structure's mean, or standard deviation, in standard deviations of its real voxels."""
ADEQUATE_RATIO = 1.8
"""Liver : vessel signal above which a hepatobiliary phase counts as adequate."""
ADEQUATE_SHARE = Goal(low=0.95)
"""Share of samples above that ratio."""
COPIES = Goal(low=1.0)
"""Mean distance to the nearest training case, synthetic over held-out real."""
SECONDS = Goal(high=2.0)
"""For one pair of image and mask, on two cores."""
OVERHEAD = Goal(high=1.02)
"""Time of an iteration of blended training, as a multiple of nnU-Net's own."""
CHOICE_MICROSECONDS = Goal(high=50.0)
"""For choosing a case from a pool of 20,000."""
HOOK_MILLISECONDS = Goal(high=1.0)
"""That the start-up hook adds to any interpreter."""
INPAINTING_SECONDS = Goal(high=0.5)
"""For a lesion of 30 mm in a host of 96 x 96 x 64 voxels, on two cores, without files."""
SAMPLES_PER_SECOND = Goal(low=3.0)
"""Samples edited in memory, on two cores."""


class Criterion(Record):
    """One figure and what became of it.

    Args:
        figure: what was measured.
        structure: of which structure, if of one.
        value: the figure; None where it could not be measured (see `note`).
        goal: the bounds in words.
        passed: whether the value is within them; None without a value.
        beside: what the value has to be read with: controls, floors, standard errors.
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
    beside: dict[str, float] | None = None,
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
