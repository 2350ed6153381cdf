"""Texture of parenchyma: right for noise of known deviation, blind to edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lldm_aug.evaluation.measure.contents import parenchyma_texture
from lldm_aug.labels import HBP, LabelSchema

LIVER = np.pad(np.ones((24, 24, 24), np.int16), 4)


def white(deviation, seed=0):
    return np.random.default_rng(seed).normal(scale=deviation, size=(1, *LIVER.shape)).astype(np.float32)


def gain():
    """High-pass deviation of unit white noise, from the kernel itself."""
    impulse = np.zeros((17, 17, 17))
    impulse[8, 8, 8] = 1
    return np.sqrt(((impulse - gaussian_filter(impulse, 1.0)) ** 2).sum())


def test_white_noise_has_the_deviation_that_the_kernel_leaves():
    assert parenchyma_texture(white(0.05), LIVER, HBP) == pytest.approx(0.05 * gain(), rel=0.03)


def test_proportional_to_the_noise():
    one, three = (parenchyma_texture(white(s), LIVER, HBP) for s in (0.1, 0.3))
    assert three == pytest.approx(3 * one, rel=1e-4)


def test_smoothing_lowers_it():
    smooth = gaussian_filter(white(0.1), (0, 0.7, 0.7, 0.7))
    assert parenchyma_texture(smooth, LIVER, HBP) < 0.6 * parenchyma_texture(white(0.1), LIVER, HBP)


def test_slow_shading_hardly_counts():
    ramp = np.broadcast_to(np.linspace(0, 1, LIVER.shape[0])[:, None, None], LIVER.shape)[None]
    noise = white(0.05)
    assert parenchyma_texture(noise + ramp, LIVER, HBP) == pytest.approx(parenchyma_texture(noise, LIVER, HBP), rel=0.1)


def test_vessels_and_surroundings_do_not_count():
    label = LIVER.copy()
    label[:, 14:17, 14:17] = np.where(label[:, 14:17, 14:17] > 0, 2, 0)
    noise = white(0.05)
    edges = np.where(label == 1, noise, noise - 5).astype(np.float32)
    assert parenchyma_texture(edges, label, HBP) == pytest.approx(parenchyma_texture(noise, label, HBP), rel=1e-3)


def test_nothing_to_measure_is_said():
    assert np.isnan(parenchyma_texture(white(1.0), np.zeros_like(LIVER), HBP))
    assert np.isnan(parenchyma_texture(white(1.0), LIVER, LabelSchema(("kidney",))))
