"""The settings of one scan, the signal of its spoiled gradient echo, and what the scanner makes of it.

Settings are drawn at random from those that are usual at 3 T. The scanner adds partial volume, thick slices, ghosts,
finite k-space and Rician noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import fft, ifft
from scipy.ndimage import gaussian_filter1d

from lldm_aug.anatomy.implicit import Waves
from lldm_aug.phantom.frame import BodyFrame, Factors


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


STILL_MM, MOVING_MM = -60.0, 50.0
"""Breathing moves nothing behind the first position along the back-to-front axis, and all before the second."""
ROLL_OFF = 0.15
"""Outer share of the measured k-space over which it is damped: less ringing."""


def block_mean(fine: np.ndarray, factors: Factors) -> np.ndarray:
    """(X, Y, Z) means over blocks of factors voxels of a finer array: the partial volume effect."""
    (x, y, z), (a, b, c) = fine.shape, factors
    mean: np.ndarray = fine.reshape(x // a, a, y // b, b, z // c, c).mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def sample(fine: np.ndarray, factors: Factors, frame: BodyFrame, protocol: Protocol) -> np.ndarray:
    """(X, Y, Z) float32 signal of voxels whose profile along z is wider than their distance, blurred by drift.

    Args:
        fine: signal of the parts of the voxels.
        factors: parts along each axis.
        frame: of the voxels.
        protocol: slice width and drift.
    """
    axis = frame.axis_along(2)
    in_plane: Factors = tuple(1 if i == axis else n for i, n in enumerate(factors))  # type: ignore[assignment]
    through_plane: Factors = tuple(n if i == axis else 1 for i, n in enumerate(factors))  # type: ignore[assignment]
    slab = block_mean(fine, in_plane)
    distance_mm = frame.grid.spacing_mm[axis]
    # A box of the slices' distance has the variance of 1/12 of its square; a Gaussian adds what is missing.
    variance = (protocol.slice_width**2 - 1) / 12 * distance_mm**2 + protocol.drift_mm**2
    sigma = float(np.sqrt(variance)) * factors[axis] / distance_mm
    if sigma > 0:
        slab = gaussian_filter1d(slab, sigma, axis=axis, truncate=3.0, mode="nearest")
    return block_mean(slab, through_plane)


def receive(rng: np.random.Generator, signal: np.ndarray, frame: BodyFrame, protocol: Protocol) -> np.ndarray:
    """(X, Y, Z) float32 magnitude image of a signal: ghosts and noise added, k-space cut off.

    Args:
        rng: random numbers.
        signal: (X, Y, Z) float32, 1 for the parenchyma.
        frame: of its voxels.
        protocol: noise, resolution and ghosts.
    """
    axes = frame.axis_along(0), frame.axis_along(1)
    windows = [k_space_window(signal.shape[a], share) for a, share in zip(axes, protocol.resolution, strict=True)]
    # The window takes noise away with the detail; what is left shall be as strong as the protocol says.
    kept = float(np.prod([np.sqrt(np.mean(window**2)) for window in windows]))
    received = signal + complex_noise(rng, signal.shape, protocol.noise / kept)
    if protocol.ghost > 0:
        received += ghosts(signal, frame, protocol, float(rng.uniform(0, 2 * np.pi)))
    for axis, window in zip(axes, windows, strict=True):
        if (window < 1).any():
            shape = [-1 if i == axis else 1 for i in range(3)]
            received = ifft(fft(received, axis=axis) * window.reshape(shape), axis=axis)
    magnitude: np.ndarray = np.abs(received)
    return magnitude


def ghosts(signal: np.ndarray, frame: BodyFrame, protocol: Protocol, phase: float) -> np.ndarray:
    """(X, Y, Z) complex64 copies of the anatomy that moves with the breath, on either side along the phase axis."""
    axis = frame.axis_along(1)
    _, y, _ = frame.positions()
    moving = signal * np.clip((y - STILL_MM) / (MOVING_MM - STILL_MM), 0, 1)
    shift = round(protocol.ghost_shift * signal.shape[axis])
    copies = np.roll(moving, shift, axis) + np.roll(moving, -shift, axis)
    copies_of_phase: np.ndarray = copies * np.complex64(protocol.ghost * np.exp(1j * phase))
    return copies_of_phase


def complex_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Complex64 Gaussian noise of this standard deviation in its real and in its imaginary part."""
    noise: np.ndarray = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return noise * np.float32(sigma)


def k_space_window(n: int, share: float) -> np.ndarray:
    """(n,) float32 weights in the FFT's order: 1 in the middle, 0 outside this share, a cosine between."""
    distance = np.abs(np.fft.fftfreq(n)) * 2
    if share >= 1:
        return np.ones(n, dtype=np.float32)
    edge = np.clip((share - distance) / (ROLL_OFF * share), 0, 1)
    weights: np.ndarray = (0.5 - 0.5 * np.cos(np.pi * edge)).astype(np.float32)
    return weights
