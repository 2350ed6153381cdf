"""What the scanner adds: protocol, coil shading, partial volume, Rician noise, masked air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.phantom.implicit import Waves


@dataclass(frozen=True)
class Protocol:
    """Settings of one scan.

    Args:
        repetition_ms, flip_degrees: of the spoiled gradient echo.
        blood_t1_ms: of blood with what is left of the agent.
        gain: units of intensity for the parenchyma's signal.
        noise: standard deviation of the noise in each receiver channel, relative to the parenchyma's signal.
        shading: logarithm of the coils' sensitivity, as a function of position.
        texture: relative standard deviation of the parenchyma's unevenness.
    """

    repetition_ms: float
    flip_degrees: float
    blood_t1_ms: float
    gain: float
    noise: float
    shading: Waves
    texture: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Protocol:
        """A scan as one meets it: VIBE-like at 3 T."""
        return cls(
            repetition_ms=float(rng.uniform(3.3, 4.8)),
            flip_degrees=float(rng.uniform(10, 16)),
            blood_t1_ms=float(rng.uniform(1100, 1450)),
            gain=float(rng.uniform(420, 760)),
            noise=float(rng.uniform(0.02, 0.055)),
            shading=Waves.draw(rng, float(rng.uniform(0.06, 0.16)), (340, 420, 520, 700)),
            texture=float(rng.uniform(0.02, 0.05)),
        )


def block_mean(fine: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """(X, Y, Z) means over blocks of factors voxels of a finer array: the partial volume effect."""
    (x, y, z), (a, b, c) = fine.shape, factors
    mean: np.ndarray = fine.reshape(x // a, a, y // b, b, z // c, c).mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def rician(rng: np.random.Generator, signal: np.ndarray, sigma: float) -> np.ndarray:
    """Magnitude of the signal with Gaussian noise of this standard deviation in its real and its imaginary part."""
    real, imaginary = (rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(sigma) for _ in range(2))
    magnitude: np.ndarray = np.hypot(signal + real, imaginary)
    return magnitude
