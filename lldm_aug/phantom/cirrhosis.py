"""What cirrhosis does to a liver and its neighbours.

The numbers of this module were chosen by eye, so that phantoms look as cirrhotic livers do in the hepatobiliary phase:
nodular, with lower uptake, a small right and large left and caudate lobe, and a large spleen. None is cited from a
measurement. The upper bound of T1 is meant to keep the ratio of liver to vessel signal above 1.8, as in an adequate
phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Waves

SHARE = 0.3
"""Of phantoms that are cirrhotic."""
NODULES_MM = (9, 10, 11, 12, 13, 15, 17, 20, 24, 30)
"""Wavelengths of the parenchyma's nodules."""
SURFACE_MM = (17, 20, 24, 28, 33, 40)
"""Wavelengths of the nodules on the surface."""
LIVER_T1_RANGE_MS = (230.0, 380.0)
"""Of healthy parenchyma after uptake."""
CIRRHOTIC_T1_RANGE_MS = (300.0, 400.0)
"""Of cirrhotic parenchyma after uptake."""
SEPTUM = 0.45
"""Width of the septa in standard deviations of what makes the nodules."""


@dataclass(frozen=True)
class Uptake:
    """How far the parenchyma's signal is from its mean, relative to it: bright nodules in a network of dark septa.

    Args:
        nodules: a function of position with standard deviation 1; the septa lie where it is 0.
        contrast: standard deviation among nodules.
        septa: how much darker the septa are.
    """

    nodules: Waves
    contrast: float
    septa: float

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The relative difference at these positions: 0 on average, within -0.3 .. 0.3."""
        height = self.nodules(x, y, z)
        network = np.exp(-((height / np.float32(SEPTUM)) ** 2)) - np.float32(SEPTUM * 0.66)
        uptake: np.ndarray = np.float32(self.contrast) * height - np.float32(self.septa) * network
        return uptake.clip(-0.3, 0.3)


@dataclass(frozen=True)
class Cirrhosis:
    """How far a liver is from a healthy one.

    Args:
        severity: 0 for a healthy liver, up to 1.
        surface: nodular unevenness of the surface in mm; None for a healthy liver.
        uptake: nodular unevenness of the parenchyma; None for a healthy liver.
        ascites_mm: thickness of the fluid around the liver, 0 for none.
        liver_t1_ms: relaxation time of the parenchyma after uptake.
    """

    severity: float
    surface: Waves | None
    uptake: Uptake | None
    ascites_mm: float
    liver_t1_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Cirrhosis:
        """A healthy liver, or (`SHARE`) a cirrhotic one that still takes up enough for an adequate phase."""
        if rng.random() > SHARE:
            return cls(0.0, None, None, 0.0, float(rng.uniform(*LIVER_T1_RANGE_MS)))
        severity = float(rng.uniform(0.3, 1))
        nodules = Waves.draw(rng, 1.0, NODULES_MM)
        surface = Waves.draw(rng, 0.6 + 0.9 * severity, SURFACE_MM)
        ascites = float(rng.uniform(3, 12)) if rng.random() < 0.5 * severity else 0.0
        low, high = CIRRHOTIC_T1_RANGE_MS
        t1 = float(np.clip(low + (high - low) * (0.7 * severity + 0.3 * rng.random()), low, high))
        return cls(severity, surface, Uptake(nodules, 0.02 + 0.04 * severity, 0.04 + 0.09 * severity), ascites, t1)

    @property
    def right_lobe(self) -> float:
        """Size of the right lobe relative to a healthy one."""
        return 1 - 0.13 * self.severity

    @property
    def left_lobe(self) -> float:
        """Size of the left lobe relative to a healthy one."""
        return 1 + 0.16 * self.severity

    @property
    def caudate(self) -> float:
        """Size of the caudate lobe relative to a healthy one."""
        return 1 + 0.35 * self.severity

    @property
    def spleen(self) -> float:
        """Size of the spleen relative to a healthy one."""
        return 1 + 0.35 * self.severity
