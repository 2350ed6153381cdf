"""One axis of a chart: values to pixels, and round numbers to label it with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 30.0
"""Positive values whose largest is this many times the smallest are drawn on a logarithmic axis."""
ROUND = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """An axis.

    Args:
        low: value at its beginning.
        high: value at its end; above ``low``.
        start: pixel of its beginning.
        end: pixel of its end.
        logarithmic: whether equal ratios are equally far apart; then ``low`` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, logarithmic: bool | None = False) -> Axis:
        """An axis that holds all values; ``logarithmic=None`` lets them decide."""
        low, high = min(values), max(values)
        if logarithmic is None:
            logarithmic = low > 0 and high / low > WIDE
        if low == high:
            low, high = (low / 2, high * 2) if logarithmic else (low - 1, high + 1)
        return cls(low, high, start, end, logarithmic)

    def place(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Pixel and text of round values."""
        values = self._decades() if self.logarithmic else self._steps()
        return [(self.place(v), f"{v:,g}".replace("-", "−")) for v in values]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _steps(self) -> list[float]:
        raw = (self.high - self.low) / 5
        power = 10 ** math.floor(math.log10(raw))
        step = next(r * power for r in ROUND if r * power >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{i * step:.6g}") for i in range(first, last + 1)]

    def _decades(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        few = len(powers) <= 3
        values = [r * 10.0**p for p in powers for r in (ROUND[:3] if few else ROUND[:1])]
        return [v for v in values if self.low <= v <= self.high]
