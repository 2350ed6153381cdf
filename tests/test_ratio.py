"""Ratios: exact in expectation, never far off, pure functions of their arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.blending.ratio import added_items, check_ratio, interleave, is_synthetic, synthetic_slots
from lldm_aug.errors import ConfigError
from lldm_aug.seeds import numpy_rng

ratios = st.floats(0, 1)
seeds = st.integers(0, 2**31)


@given(seed=seeds, ratio=ratios, batch=st.integers(1, 64))
def test_slots_are_the_floor_or_the_ceiling(seed: int, ratio: float, batch: int) -> None:
    count = synthetic_slots(batch, ratio, numpy_rng(seed)).sum()
    assert np.floor(batch * ratio) <= count <= np.ceil(batch * ratio)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_slots_have_the_exact_share_in_expectation_and_in_every_slot(ratio: float, batch: int) -> None:
    rng = numpy_rng("test", batch, ratio)
    slots = np.stack([synthetic_slots(batch, ratio, rng) for _ in range(8000)])
    assert slots.mean() == pytest.approx(ratio, abs=4 * 0.5 / np.sqrt(8000))
    assert slots.mean(axis=0) == pytest.approx(np.full(batch, ratio), abs=5 * 0.5 / np.sqrt(8000))


def test_slots_vary_less_than_independent_draws() -> None:
    rng = numpy_rng("variance")
    counts = [synthetic_slots(2, 0.25, rng).sum() for _ in range(4000)]
    assert np.var(counts) == pytest.approx(0.25, abs=0.02)  # independent draws have 0.375


@given(seed=seeds, epoch=st.integers(0, 1000), ratio=ratios)
def test_running_share_is_never_one_off(seed: int, epoch: int, ratio: float) -> None:
    kinds = np.cumsum([is_synthetic(seed, epoch, k, ratio) for k in range(200)])
    assert np.abs(kinds - ratio * np.arange(1, 201)).max() <= 1 + 1e-9


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_each_item_is_synthetic_equally_often_over_epochs(ratio: float) -> None:
    often = np.mean([[is_synthetic(7, epoch, k, ratio) for k in range(12)] for epoch in range(3000)], axis=0)
    assert often == pytest.approx(np.full(12, ratio), abs=0.05)


@given(seed=seeds, epoch=st.integers(0, 100), real=st.integers(1, 60), added=st.integers(0, 60))
def test_interleaving_keeps_every_real_item_once(seed: int, epoch: int, real: int, added: int) -> None:
    places = [interleave(seed, epoch, k, real, added) for k in range(real + added)]
    assert [source for synthetic, source in places if not synthetic] == list(range(real))
    assert sum(synthetic for synthetic, _ in places) == added


@given(real=st.integers(1, 1000), ratio=st.floats(0, 0.95))
def test_added_items_make_the_share(real: int, ratio: float) -> None:
    added = added_items(real, ratio)
    assert added / (real + added) == pytest.approx(ratio, abs=1 / (real + added))


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        check_ratio(ratio)


def test_adding_cannot_reach_one() -> None:
    with pytest.raises(ConfigError, match="replace"):
        added_items(10, 1.0)
