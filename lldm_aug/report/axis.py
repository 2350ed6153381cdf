"""One axis of a chart: values to pixels, and round numbers to label it with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

WIDE = 30.0
"""Positive values whose largest is this many times the smallest are drawn on a logarithmic axis."""
ROUND = (1, 2, 5, 10)


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
        return [(self.place(float(v)), f"{v:,}".replace("-", "−")) for v in values]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _steps(self) -> list[Decimal]:
        raw = (self.high - self.low) / 6
        power = math.floor(math.log10(raw))
        step = next(r for r in ROUND if r * 10.0**power >= raw * 0.999) * Decimal(10) ** power
        first, last = math.ceil(self.low / float(step) - 1e-9), math.floor(self.high / float(step) + 1e-9)
        return [_plain(i * step) for i in range(first, last + 1)]

    def _decades(self) -> list[Decimal]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        few = len(powers) <= 3
        values = [r * Decimal(10) ** p for p in powers for r in (ROUND[:3] if few else ROUND[:1])]
        return [_plain(v) for v in values if self.low <= v <= self.high]


def _plain(value: Decimal) -> Decimal:
    """Without an exponent or zeros at its end."""
    return value.quantize(Decimal(1)) if value == value.to_integral() else value.normalize()
