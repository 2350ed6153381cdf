"""Signal and acquisition against their closed forms."""

import numpy as np
import pytest

from lldm_aug.phantom.acquisition import Protocol, block_mean, rician
from lldm_aug.phantom.signal import spoiled_gradient_echo
from lldm_aug.seeds import numpy_rng


@pytest.mark.parametrize("t1_ms", [200.0, 330.0, 1200.0])
def test_signal_is_largest_at_the_ernst_angle(t1_ms: float) -> None:
    angles = np.linspace(1, 89, 8801)
    signal = [float(spoiled_gradient_echo(np.array(t1_ms), np.array(1.0), 4.0, a)) for a in angles]
    assert angles[int(np.argmax(signal))] == pytest.approx(np.rad2deg(np.arccos(np.exp(-4.0 / t1_ms))), abs=0.02)


def test_signal_at_ninety_degrees_is_saturation_recovery() -> None:
    signal = spoiled_gradient_echo(np.array([500.0]), np.array([2.0]), 100.0, 90.0)
    assert signal == pytest.approx(2.0 * (1 - np.exp(-100.0 / 500.0)))


def test_fully_relaxed_signal_is_the_density_times_the_sine() -> None:
    assert spoiled_gradient_echo(np.array([1.0]), np.array([0.8]), 1e4, 30.0) == pytest.approx(0.4)


def test_short_t1_is_bright() -> None:
    signal = spoiled_gradient_echo(np.array([250.0, 400.0, 1200.0]), np.ones(3), 4.0, 12.0)
    assert signal[0] > signal[1] > signal[2]


def test_noise_without_signal_is_rayleigh() -> None:
    noise = rician(numpy_rng(0), np.zeros(200_000, np.float32), 7.0)
    assert noise.mean() == pytest.approx(7.0 * np.sqrt(np.pi / 2), rel=0.01)


def test_noise_on_strong_signal_is_gaussian() -> None:
    noisy = rician(numpy_rng(1), np.full(200_000, 500, np.float32), 7.0)
    assert noisy.mean() == pytest.approx(500 + 7**2 / 1000, abs=0.1)
    assert noisy.std() == pytest.approx(7.0, rel=0.01)


def test_block_mean_is_the_mean_of_each_block() -> None:
    fine = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    assert block_mean(fine, (2, 2, 3)).ravel().tolist() == [fine[:2].mean(), fine[2:].mean()]


def test_protocols_differ_between_scans() -> None:
    assert Protocol.draw(numpy_rng(1)).flip_degrees != Protocol.draw(numpy_rng(2)).flip_degrees
