"""How large new tumours are: a log-normal distribution of diameters in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from scipy.special import ndtr, ndtri

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class TumourSizes:
    """Log-normal diameters, cut off at both ends.

    The defaults are set by hand, not fitted to any data set. They lie between the small tumours that surveillance of
    cirrhotic livers finds (series of up to 30 mm are usual in hepatobiliary MR) and treated ones (60 +- 36 mm in 115
    HCC on CT: Vo Tan Duc et al., Cureus 14, e21347, 2022): 90 % between 10 and 64 mm.

    Args:
        median_mm: median before it is cut off.
        log_spread: standard deviation of the natural logarithm.
        range_mm: smallest and largest diameter.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    median_mm: Positive = 25.0
    log_spread: Positive = 0.6
    range_mm: tuple[Positive, Positive] = (6.0, 100.0)

    def __post_init__(self) -> None:
        if self.range_mm[0] >= self.range_mm[1]:
            raise ValueError("the smaller diameter of range_mm comes first")

    def draw(self, rng: np.random.Generator, least_mm: float = 0.0) -> float:
        """A diameter of at least ``least_mm``, such as what a grid can show."""
        low, high = self.quantile(max(least_mm, self.range_mm[0])), self.quantile(self.range_mm[1])
        return float(self.median_mm * np.exp(self.log_spread * ndtri(rng.uniform(low, max(low, high)))))

    def quantile(self, diameter_mm: float) -> float:
        """Share of smaller diameters, before the distribution is cut off."""
        return float(ndtr(np.log(diameter_mm / self.median_mm) / self.log_spread))


HCC_SIZES = TumourSizes()


def ball_diameter_mm(volume_mm3: float) -> float:
    """Diameter of the ball of a volume."""
    return float(np.cbrt(6 * volume_mm3 / np.pi))


def ball_volume_mm3(diameter_mm: float) -> float:
    """Volume of a ball."""
    return float(np.pi / 6 * diameter_mm**3)
