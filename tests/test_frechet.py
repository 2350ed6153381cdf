"""FID: its definition, its exactness without full rank, and its subspaces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from lldm_aug.evaluation.measure.frechet import PROJECTIONS, Moments, dimensions_for, fid, projected_fid, projections


def gaussian(seed, n, d=6, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ np.random.default_rng(99).normal(size=(d, d)) + shift


def ones(cases):
    return np.ones(len(cases), dtype=int)


def by_definition(x, y):
    covariances = np.cov(x.T), np.cov(y.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(sum(covariances)) - 2 * np.trace(root)


def test_agrees_with_the_definition():
    x, y = gaussian(0, 80), 1.5 * gaussian(1, 60, shift=0.5)
    assert fid(x, y) == pytest.approx(by_definition(x, y), rel=1e-8)


def test_fewer_slices_than_features_are_no_trouble():
    x, y = gaussian(0, 12, d=40), gaussian(1, 9, d=40, shift=0.3)
    shrunk = [np.cov(a.T) + 1e-9 * np.eye(40) for a in (x, y)]  # the definition has no root here without a nudge
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(sum(shrunk)) - 2 * np.trace(sqrtm(shrunk[0] @ shrunk[1]))
    assert fid(x, y) == pytest.approx(expected.real, rel=1e-4)


def test_equal_sets_have_no_distance_and_a_shift_counts_squared():
    x = gaussian(0, 50)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(x, x + 2.0) == pytest.approx(4 * x.shape[1])


def test_one_slice_is_too_few():
    assert np.isnan(fid(gaussian(0, 1), gaussian(1, 5)))


def test_all_dimensions_give_the_plain_distance():
    x, y = (np.array_split(gaussian(seed, 40, shift=seed), 4) for seed in (0, 1))
    found = projected_fid(Moments.of(x, 6), Moments.of(y, 6), ones(x), ones(y))
    assert found == pytest.approx(fid(np.concatenate(x), np.concatenate(y)), rel=1e-8)


def test_a_case_taken_twice_is_as_if_it_were_there_twice():
    x, y = (np.array_split(gaussian(seed, 60, d=20, shift=seed), 4) for seed in (0, 1))
    twice = Moments.of([x[0], x[0], x[2]], 5)
    counts = np.array([2, 0, 1, 0])
    expected = projected_fid(twice, Moments.of(y, 5), np.ones(3, int), ones(y))
    assert projected_fid(Moments.of(x, 5), Moments.of(y, 5), counts, ones(y)) == pytest.approx(expected)


def test_subspaces_see_a_shift_at_its_size():
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(50, 400)) for _ in range(8)]
    shifted = [case + 1.0 for case in x]
    found = projected_fid(Moments.of(x, 50), Moments.of(shifted, 50), ones(x), ones(x))
    assert found == pytest.approx(400, rel=0.15)  # squared length of the shift


def test_subspaces_are_orthonormal_and_the_same_for_ever():
    bases = projections(30, 4)
    assert bases.shape == (PROJECTIONS, 30, 4)
    assert bases.transpose(0, 2, 1) @ bases == pytest.approx(np.broadcast_to(np.eye(4), (PROJECTIONS, 4, 4)), abs=1e-12)
    projections.cache_clear()
    assert np.array_equal(projections(30, 4), bases)


def test_dimensions_follow_the_slices():
    assert [dimensions_for(n, 1280) for n in (2, 90, 10_000)] == [1, 22, 64]
    assert dimensions_for(10_000, 6) == 6
