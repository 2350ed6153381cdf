"""The settings of one scan, drawn at random from those that are usual at 3 T."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.implicit import Waves


@dataclass(frozen=True)
class Protocol:
    """Settings of one scan, and its imperfections.

    Args:
        repetition_ms, flip_degrees: of the spoiled gradient echo.
        blood_t1_ms: of blood with what is left of the agent.
        gain: units of intensity for the parenchyma's signal.
        noise: standard deviation of the noise in each receiver channel, relative to the parenchyma's signal.
        shading: logarithm of the coils' sensitivity, as a function of position.
        flare: how much brighter the skin is than the middle, for being near to the coils.
        texture: relative standard deviation of the parenchyma's unevenness.
        slice_width: of the slice profile, relative to the distance of the slices.
        drift_mm: standard deviation of the position along z in the course of the scan: a breath not quite held.
        resolution: share of k-space that is measured along the right-left and the phase-encoding axis; the rest is 0.
        ghost: strength of the ghosts relative to the anatomy that moves; 0 for most scans.
        ghost_shift: their distance along the phase-encoding axis relative to the field of view.
    """

    repetition_ms: float
    flip_degrees: float
    blood_t1_ms: float
    gain: float
    noise: float
    shading: Waves
    flare: float
    texture: float
    slice_width: float
    drift_mm: float
    resolution: tuple[float, float]
    ghost: float
    ghost_shift: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Protocol:
        """A scan as one meets it: VIBE-like at 3 T, flip angle raised for the hepatobiliary phase in many centres."""
        return cls(
            repetition_ms=float(rng.uniform(3.3, 4.8)),
            flip_degrees=float(rng.uniform(18, 28)),
            blood_t1_ms=float(rng.uniform(1450, 1650)),
            gain=float(rng.uniform(420, 760)),
            noise=float(rng.uniform(0.012, 0.045)),
            shading=Waves.draw(rng, float(rng.uniform(0.06, 0.16)), (340, 420, 520, 700)),
            flare=float(rng.uniform(0.0, 0.35)),
            texture=float(rng.uniform(0.02, 0.05)),
            slice_width=float(rng.uniform(1.0, 1.35)),
            drift_mm=float(rng.uniform(0.3, 0.9)) * (rng.random() < 0.3),
            resolution=(float(rng.uniform(0.92, 1.0)), float(rng.uniform(0.85, 1.0))),
            ghost=float(rng.uniform(0.01, 0.045)) * (rng.random() < 0.35),
            ghost_shift=float(rng.uniform(0.12, 0.5)),
        )
