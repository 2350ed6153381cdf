"""Intervals over cases: their width, their coverage, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest

from lldm_aug.evaluation.bootstrap import bootstrap, interval, resamples, taken
from lldm_aug.evaluation.measure.kid import KernelSums, kid


def mean_of(values):
    return lambda counts: float(np.average(values, weights=counts))


def test_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(0).normal(3, 2, size=200)
    found = bootstrap(mean_of(values), [200], 0)
    error = values.std(ddof=1) / np.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    draws = [np.random.default_rng(seed).normal(size=30) for seed in range(50)]
    found = [bootstrap(mean_of(values), [30], seed) for seed, values in enumerate(draws)]
    assert 0.85 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 1.0


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(9.0)
    assert bootstrap(mean_of(values), [9], 1, "x") == bootstrap(mean_of(values), [9], 1, "x")
    assert bootstrap(mean_of(values), [9], 1, "x") != bootstrap(mean_of(values), [9], 2, "x")


def test_resamples_take_as_many_cases_as_there_are():
    for a, b in resamples((5, 3), 20, 0):
        assert (a.sum(), b.sum()) == (5, 3)
    assert taken("abc", np.array([2, 0, 1])) == ["a", "a", "c"]


def test_resamples_without_a_value_do_not_count_unless_they_are_most():
    assert interval(1.0, np.array([1.0, np.nan, 2.0])).high == 2.0
    assert np.isnan(interval(1.0, np.array([1.0, np.nan, np.nan])).high)
    assert np.isnan(interval(np.nan, np.array([1.0, 2.0])).low)
    assert np.isnan(interval(1.0, np.zeros(0)).low)


def test_a_set_without_cases_has_no_figure():
    assert np.isnan(bootstrap(lambda a, b: 1.0, [3, 0], 0).value)


def features(seed, n=8):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=4) + 0.3 * rng.normal(size=(6, 4))).astype(np.float32) for _ in range(n)]


def test_kid_of_every_case_once_is_kid():
    x, y = features(0), features(1)
    found = KernelSums.of(x, y).resampled(np.ones(8, int), np.ones(8, int))
    assert found == pytest.approx(kid(np.concatenate(x), np.concatenate(y)))


def test_kid_of_resamples_is_not_inflated_by_copies_of_cases():
    x, y = features(0, 30), features(1, 30)
    sums = KernelSums.of(x, y)
    value = sums.resampled(np.ones(30, int), np.ones(30, int))
    found = np.array([sums.resampled(a, b) for a, b in resamples((30, 30), 400, 0)])
    assert abs(found.mean() - value) < found.std()
    naive = [kid(np.concatenate(taken(x, a)), np.concatenate(taken(y, b))) for a, b in resamples((30, 30), 40, 0)]
    assert np.mean(naive) - value > 2 * abs(found.mean() - value)
