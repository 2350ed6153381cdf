"""SyntheticIterable: the share of a stream, dealt out to workers and ranks."""

import math
from pathlib import Path

import numpy as np
import pools
import pytest
import torch
from accelerate.data_loader import IterableDatasetShard
from hypothesis import given
from hypothesis import strategies as st
from numbered import Numbers, NumberStream, negative
from torch.utils.data import DataLoader

from lldm_aug.blending.iterable import SyntheticIterable
from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError
from lldm_aug.geometry import Grid
from lldm_aug.pool.pool_dataset import PoolDataset

CASES = [Case(f"syn_{i:04d}", np.zeros(1), np.zeros(1), Grid.regular((1, 1, 1), (1, 1, 1))) for i in range(50)]


class BlendedStream(SyntheticIterable, NumberStream):
    """Mixed into a class."""


def blend(length: int = 40, **options: object) -> SyntheticIterable[int]:
    return SyntheticIterable(NumberStream(length), pool=CASES, convert=negative, **options)


def read(data: SyntheticIterable[int], **options: object) -> list[int]:
    return [int(i) for batch in DataLoader(data, batch_size=4, **options) for i in batch]


def real(drawn: list[int]) -> list[int]:
    return [item for item in drawn if item >= 0]


@given(length=st.integers(1, 60), ratio=st.floats(0, 1), epoch=st.integers(0, 1000))
def test_replace_keeps_the_length_the_places_and_the_share(length: int, ratio: float, epoch: int) -> None:
    data = blend(length, ratio=ratio)
    data.set_epoch(epoch)
    drawn = list(data)
    assert len(drawn) == len(data) == length
    assert all(item in (place, *range(-50, 0)) for place, item in enumerate(drawn))
    assert abs(np.cumsum([item < 0 for item in drawn]) - ratio * np.arange(1, length + 1)).max() < 1 + 1e-9


@given(length=st.integers(1, 60), ratio=st.floats(0, 0.9), epoch=st.integers(0, 1000))
def test_add_keeps_every_real_item_and_makes_the_share(length: int, ratio: float, epoch: int) -> None:
    data = blend(length, ratio=ratio, mode="add")
    data.set_epoch(epoch)
    drawn = list(data)
    assert real(drawn) == list(range(length))
    assert abs(len(drawn) - length - length * ratio / (1 - ratio)) < 1 + 1e-9


@pytest.mark.parametrize(("mode", "expected"), [("replace", 2.4), ("add", 2.4 / 0.7)])
def test_the_share_is_exact_over_epochs(mode: str, expected: float) -> None:
    data = blend(8, ratio=0.3, mode=mode)
    added = []
    for epoch in range(3000):
        data.set_epoch(epoch)
        added.append(sum(item < 0 for item in data))
    assert {*added} == {math.floor(expected), math.ceil(expected)}
    assert np.mean(added) == pytest.approx(expected, abs=0.03)


def test_synthetic_cases_vary() -> None:
    assert len({item for item in blend(200, ratio=0.5, mode="add") if item < 0}) > 40


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_share_the_stream(context: str) -> None:
    data = blend(ratio=0.25, mode="add")
    loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True, multiprocessing_context=context)
    epochs = []
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        epochs.append([int(i) for batch in loader for i in batch])
    assert epochs[0] == epochs[2] != epochs[1]
    assert epochs[0] == read(blend(ratio=0.25, mode="add"), num_workers=2)  # by the default start method
    assert all(sorted(real(drawn)) == list(range(40)) for drawn in epochs)
    assert all(abs(len(drawn) - 40 - 40 / 3) < 2 for drawn in epochs)


def test_one_worker_draws_as_none() -> None:
    assert read(blend(), num_workers=1) == read(blend())


def test_workers_and_streams_draw_different_cases() -> None:
    halves = [read(blend(ratio=1.0), num_workers=2)[start::8] for start in (0, 4)]
    assert halves[0] != halves[1]
    assert list(blend(ratio=1.0, stream=1)) != list(blend(ratio=1.0))


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_that_pick_from_the_whole_stream_pick_apart(workers: int) -> None:
    shards = [IterableDatasetShard(blend(48, ratio=0.25, mode="add"), 4, True, 2, rank) for rank in range(2)]
    drawn = [read(shard, num_workers=workers) for shard in shards]
    assert len(drawn[0]) == len(drawn[1])
    assert sorted(real(drawn[0] + drawn[1])) == list(range(48))


def test_mixed_into_a_class_it_draws_the_same() -> None:
    mixed = BlendedStream(40, pool=CASES, convert=negative)
    assert isinstance(mixed, NumberStream)
    assert list(mixed) == list(blend())
    assert len(mixed) == 40
    mixed.set_epoch(3)
    assert mixed.told == mixed.epoch == 3


def test_any_iterable_is_wrapped_and_told_the_epoch() -> None:
    assert real(list(SyntheticIterable(range(9), pool=CASES, convert=negative, ratio=0.5, mode="add"))) == [*range(9)]
    stream = NumberStream(4)
    SyntheticIterable(stream, pool=CASES).set_epoch(2)
    assert stream.told == 2


def test_a_length_that_is_not_known_is_not_told() -> None:
    for data in (blend(mode="add"), SyntheticIterable((i for i in range(3)), pool=CASES, convert=negative)):
        with pytest.raises(TypeError, match="known only at its end"):
            len(data)
        assert list(DataLoader(data))


def test_it_reads_a_pool_from_its_folder(tmp_path: Path) -> None:
    pools.write_pool(tmp_path, cases=2)
    data = SyntheticIterable(NumberStream(4), pool=tmp_path, ratio=1.0)
    assert isinstance(data.pool, PoolDataset)
    assert next(iter(data))["image"].shape == (1, *pools.GRID.shape)


def test_no_global_generator_is_moved() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    list(blend())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_what_is_no_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="SyntheticMixin"):
        SyntheticIterable(Numbers(4), pool=CASES)
    with pytest.raises(ConfigError, match="replace"):
        blend(ratio=1.0, mode="add")
