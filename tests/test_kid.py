"""Kernel inception distance: its definition, its lack of bias, and its spread by case."""

from __future__ import annotations

import numpy as np
import pytest

from lldm_aug.evaluation.bootstrap import bootstrap
from lldm_aug.evaluation.measure.kid import KernelSums, kid, polynomial_kernel


def gaussian(seed, n, d=6, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)


def ones(*sets):
    return [np.ones(len(cases), int) for cases in sets]


def brute_force(x, y):
    """The definition, one pair at a time."""

    def k(a, b):
        return (float(np.dot(a.astype(float), b.astype(float))) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_kernel_closed_form():
    x = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert polynomial_kernel(x, x) == pytest.approx(np.array([[8.0, 8.0], [8.0, 27.0]]))


def test_agrees_with_a_double_loop():
    x, y = gaussian(0, 11), gaussian(1, 14, shift=0.3)
    assert kid(x, y) == pytest.approx(brute_force(x, y), rel=1e-9)


def test_unbiased_for_equal_distributions():
    values = [kid(gaussian(2 * s, 20), gaussian(2 * s + 1, 20)) for s in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_grows_with_the_shift_between_gaussians():
    near, far = (kid(gaussian(0, 200), gaussian(1, 200, shift=shift)) for shift in (0.5, 1.0))
    assert 0 < near < far


def test_closed_form_of_two_points():
    x, y = np.full((5, 3), 1.0, np.float32), np.full((7, 3), -1.0, np.float32)
    assert kid(x, y) == pytest.approx(2**3 + 2**3 - 0)


def test_blocks_of_cases_give_the_same_as_all_slices_at_once():
    x, y = [gaussian(i, 3 + i) for i in range(4)], [gaussian(9 + i, 5, shift=0.2) for i in range(4)]
    assert KernelSums.of(x, y).resampled(*ones(x, y)) == pytest.approx(
        kid(np.concatenate(x), np.concatenate(y)), rel=1e-9
    )


def test_leaving_a_case_out_is_the_same_as_not_having_it():
    x, y = [gaussian(i, 3 + i) for i in range(4)], [gaussian(9 + i, 5) for i in range(4)]
    others = [i for i in range(4) if i != 2]
    expected = kid(np.concatenate([x[i] for i in others]), np.concatenate([y[i] for i in others]))
    left = np.array([1, 1, 0, 1])
    assert KernelSums.of(x, y).resampled(left, left) == pytest.approx(expected, rel=1e-9)


def test_one_slice_is_too_few():
    assert np.isnan(kid(gaussian(0, 1), gaussian(1, 5)))


def test_interval_of_a_kid_is_as_wide_as_kids_of_new_cases_spread():
    """Resamples of whole cases: slices of one case are alike, and those of new cases differ by as much."""

    def draw(seed, shift):
        return [gaussian(1000 * seed + i, 6, shift=shift) + gaussian(1000 * seed + 500 + i, 1) for i in range(24)]

    fresh = [KernelSums.of(draw(2 * s, 0.0), draw(2 * s + 1, 1.0)) for s in range(40)]
    spread = np.std([sums.resampled(*(np.ones(24, int),) * 2) for sums in fresh])
    found = [bootstrap(sums.resampled, [24, 24], seed) for seed, sums in enumerate(fresh[:8])]
    assert np.mean([(one.high - one.low) / 2 for one in found]) / (1.96 * spread) == pytest.approx(1, abs=0.3)
