"""Signal and acquisition against their closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from lldm_aug.geometry import Grid
from lldm_aug.phantom.frame import BodyFrame
from lldm_aug.phantom.scanner import (
    Protocol,
    block_mean,
    complex_noise,
    ghosts,
    k_space_window,
    receive,
    sample,
    spoiled_gradient_echo,
)
from lldm_aug.seeds import numpy_rng

FRAME = BodyFrame.centred(Grid.regular((24, 40, 16), (4.0, 4.0, 4.0)))
TURNED = BodyFrame.centred(Grid((16, 40, 24), np.array([[0, 0, 4.0, 0], [0, -4, 0, 0], [4, 0, 0, 0], [0, 0, 0, 1]])))
PERFECT = replace(
    Protocol.draw(numpy_rng(0)), noise=0.0, slice_width=1.0, drift_mm=0.0, resolution=(1.0, 1.0), ghost=0.0
)


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
    noise = np.abs(complex_noise(numpy_rng(0), (200_000,), 7.0))
    assert noise.mean() == pytest.approx(7.0 * np.sqrt(np.pi / 2), rel=0.01)


def test_noise_on_strong_signal_is_gaussian() -> None:
    noisy = np.abs(500 + complex_noise(numpy_rng(1), (200_000,), 7.0))
    assert noisy.mean() == pytest.approx(500 + 7**2 / 1000, abs=0.1)
    assert noisy.std() == pytest.approx(7.0, rel=0.01)


def test_block_mean_is_the_mean_of_each_block() -> None:
    fine = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    assert block_mean(fine, (2, 2, 3)).ravel().tolist() == [fine[:2].mean(), fine[2:].mean()]


def test_protocols_differ_between_scans() -> None:
    assert Protocol.draw(numpy_rng(1)).flip_degrees != Protocol.draw(numpy_rng(2)).flip_degrees


def test_perfect_scanner_gives_the_signal_back() -> None:
    fine = numpy_rng(2).uniform(0, 1, (48, 80, 32)).astype(np.float32)
    signal = sample(fine, (2, 2, 2), FRAME, PERFECT)
    assert np.array_equal(signal, block_mean(block_mean(fine, (2, 2, 1)), (1, 1, 2)))
    assert np.allclose(receive(numpy_rng(3), signal, FRAME, PERFECT), signal, atol=1e-6)


@pytest.mark.parametrize("worse", [{"slice_width": 1.4}, {"drift_mm": 1.0}])
@pytest.mark.parametrize(("frame", "axis"), [(FRAME, 2), (TURNED, 0)])
def test_thick_slices_and_drift_blur_along_the_body_only(worse: dict[str, float], frame: BodyFrame, axis: int) -> None:
    x, y, z = frame.grid.shape
    fine = np.zeros((2 * x, 2 * y, 2 * z), dtype=np.float32)
    fine[tuple(slice(n, n + 2) for n in frame.grid.shape)] = 1
    blurred = sample(fine, (2, 2, 2), frame, replace(PERFECT, **worse))
    assert blurred.sum() == pytest.approx(1)
    places = np.argwhere(blurred > 1e-6)
    assert [len(np.unique(places[:, i])) > 1 for i in range(3)] == [i == axis for i in range(3)]


@pytest.mark.parametrize("frame", [FRAME, TURNED])
def test_ghosts_stand_at_their_distance_along_the_phase_axis(frame: BodyFrame) -> None:
    signal = np.zeros(frame.grid.shape, dtype=np.float32)
    front = int(np.argmax(frame.positions()[1]))
    place = [n // 2 for n in frame.grid.shape]
    place[1] = front
    signal[tuple(place)] = 1
    copies = np.abs(ghosts(signal, frame, replace(PERFECT, ghost=0.03, ghost_shift=0.25), 1.0))
    ends = sorted({(front + 10) % 40, (front - 10) % 40})
    assert np.argwhere(copies > 1e-9).tolist() == [[place[0], end, place[2]] for end in ends]
    assert copies.max() == pytest.approx(0.03)


def test_the_back_lies_still_and_makes_no_ghosts() -> None:
    signal = np.zeros((24, 40, 16), dtype=np.float32)
    signal[:, :4] = 1
    assert not ghosts(signal, FRAME, replace(PERFECT, ghost=0.03), 0.0).any()


def test_measuring_less_of_k_space_keeps_the_mean_and_loses_the_finest_detail() -> None:
    signal = 1 + 0.5 * (-1.0) ** np.indices((24, 40, 16), dtype=np.float32).sum(axis=0)
    image = receive(numpy_rng(0), signal.astype(np.float32), FRAME, replace(PERFECT, resolution=(0.8, 1.0)))
    assert image.mean() == pytest.approx(1, abs=1e-4)
    assert image.std() < 1e-3


def test_noise_is_as_strong_as_the_protocol_says_whatever_the_resolution() -> None:
    signal = np.full((24, 40, 16), 10, dtype=np.float32)
    image = receive(numpy_rng(1), signal, FRAME, replace(PERFECT, noise=0.05, resolution=(0.8, 0.7)))
    assert image.std() == pytest.approx(0.05, rel=0.05)


def test_k_space_window_is_whole_in_the_middle_and_nought_outside() -> None:
    window = k_space_window(100, 0.8)
    assert window[0] == 1
    assert not window[41:60].any()
    assert np.all(np.diff(window[:51]) <= 0)
