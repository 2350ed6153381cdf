"""The spoiled gradient echo's signal."""

from __future__ import annotations

import numpy as np


def spoiled_gradient_echo(
    t1_ms: np.ndarray, proton_density: np.ndarray, repetition_ms: float, flip_degrees: float
) -> np.ndarray:
    """Steady-state signal M0 sin(a) (1 - E1) / (1 - E1 cos(a)) with E1 = exp(-TR / T1), without T2* decay.

    Args:
        t1_ms: longitudinal relaxation times.
        proton_density: M0 of each tissue, relative.
        repetition_ms: TR.
        flip_degrees: flip angle a; the signal is largest at the Ernst angle, cos(a) = E1.
    """
    angle = np.deg2rad(flip_degrees)
    e1 = np.exp(-repetition_ms / np.asarray(t1_ms, dtype=np.float64))
    signal: np.ndarray = proton_density * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))
    return signal
