"""The inside of a lesion: mosaic of nodules, dead centre, capsule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Waves
from lldm_aug.phantom.tissues import Tissue

ABSENT = 1e3


@dataclass(frozen=True)
class Interior:
    """What a lesion consists of besides its own tissue.

    Args:
        mosaic: a function of position with standard deviation 1.
        nodule_level: nodules lie where the mosaic is higher; `ABSENT` for none.
        necrosis_mm: mean depth under the border from which the lesion is dead; `ABSENT` for none.
        capsule_mm: thickness of the capsule; 0 for none.
        nodule_t1_ms, necrosis_t1_ms, capsule_t1_ms: relaxation times.
    """

    mosaic: Waves
    nodule_level: float
    necrosis_mm: float
    capsule_mm: float
    nodule_t1_ms: float
    necrosis_t1_ms: float
    capsule_t1_ms: float

    @classmethod
    def draw(cls, rng: np.random.Generator, radius_mm: float, t1_ms: float, liver_t1_ms: float) -> Interior:
        """The inside of a lesion of this radius: the larger, the more of it."""
        wavelengths = np.clip(radius_mm * np.array([0.7, 0.9, 1.1, 1.4, 1.8]), 6, 40)
        has_nodules, has_necrosis, has_capsule = rng.random(3) < [0.75, (radius_mm - 12) / 25, (radius_mm - 7) / 16]
        rim = rng.uniform(0.8, 1.0) * liver_t1_ms if rng.random() < 0.15 else rng.uniform(1000, 1500)
        bleeding = rng.random() < 0.12
        return cls(
            mosaic=Waves.draw(rng, 1.0, tuple(wavelengths)),
            nodule_level=float(rng.uniform(0.2, 1.0)) if has_nodules else ABSENT,
            necrosis_mm=float(radius_mm * rng.uniform(0.35, 0.6)) if has_necrosis else ABSENT,
            capsule_mm=float(rng.uniform(1.2, 2.4)) if has_capsule else 0.0,
            nodule_t1_ms=float(t1_ms * rng.choice([rng.uniform(0.6, 0.85), rng.uniform(1.15, 1.5)])),
            necrosis_t1_ms=float(rng.uniform(300, 450) if bleeding else rng.uniform(1700, 3000)),
            capsule_t1_ms=float(rim),
        )

    def tissue(self, depth_mm: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(K,) uint8 codes of lesion 0 at K points, given their depth under its border."""
        mosaic = self.mosaic(x, y, z)
        codes = np.where(mosaic > self.nodule_level, np.uint8(Tissue.NODULE), np.uint8(Tissue.TUMOUR))
        codes[depth_mm > self.necrosis_mm * (1 + 0.2 * mosaic)] = Tissue.NECROSIS
        codes[depth_mm < self.capsule_mm] = Tissue.CAPSULE
        return codes
