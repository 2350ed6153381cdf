"""BlendedBatchSampler: every batch has its share, no real item comes twice, whoever deals the batches out."""

import numpy as np
import pools
import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from monai.data import Dataset
from numbered import Numbers, negative
from torch.utils.data import DataLoader

from lldm_aug.blending.batch_sampler import BlendedBatchSampler
from lldm_aug.blending.mixin import Draw, SyntheticMixin
from lldm_aug.errors import ConfigError
from lldm_aug.pool.pool_dataset import PoolDataset


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> PoolDataset:
    return PoolDataset(pools.write_pool(tmp_path_factory.mktemp("pool"), cases=4))


def blend(pool: PoolDataset, length: int = 40, **options: object) -> SyntheticMixin[int]:
    return SyntheticMixin(Numbers(length), pool=pool, convert=negative, **options)


def real(batches: list[list[Draw]]) -> list[int]:
    return [draw.source for batch in batches for draw in batch if not draw.synthetic]


def counts(batches: list[list[Draw]]) -> list[int]:
    return [sum(draw.synthetic for draw in batch) for batch in batches]


@given(
    length=st.integers(20, 100),
    size=st.integers(1, 10),
    ratio=st.floats(0, 0.95),
    mode=st.sampled_from(["replace", "add"]),
    epoch=st.integers(0, 1000),
)
def test_each_batch_and_the_epoch_have_the_share(length: int, size: int, ratio: float, mode: str, epoch: int) -> None:
    data = blend(range(4), length, ratio=ratio, mode=mode)
    data.set_epoch(epoch)
    sampler = BlendedBatchSampler(data, size)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(len(batch) == size for batch in batches)
    assert all(np.floor(size * ratio) <= n <= np.ceil(size * ratio) for n in counts(batches))
    assert abs(sum(counts(batches)) - len(batches) * size * ratio) < 1 + 1e-9
    assert len(real(batches)) == len({*real(batches)})
    if mode == "add":
        assert length - len(real(batches)) <= size + 1


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_a_whole_number_is_the_same_in_every_batch(mode: str) -> None:
    batches = list(BlendedBatchSampler(blend(range(4), 41, ratio=0.25, mode=mode), 4))
    assert {*counts(batches)} == {1}


def test_the_share_is_exact_over_epochs_in_each_batch_and_slot() -> None:
    data = blend(range(4), 6, ratio=0.3)
    kinds = []
    for epoch in range(3000):
        data.set_epoch(epoch)
        kinds.append([[draw.synthetic for draw in batch] for batch in BlendedBatchSampler(data, 3)])
    assert np.mean(kinds, axis=0) == pytest.approx(np.full((2, 3), 0.3), abs=0.04)


def test_replace_leaves_out_each_real_item_equally_often() -> None:
    data = blend(range(4), 6, ratio=0.5)
    seen = np.zeros(6)
    for epoch in range(2000):
        data.set_epoch(epoch)
        seen[real(list(BlendedBatchSampler(data, 3)))] += 1 / 2000
    assert seen == pytest.approx(np.full(6, 0.5), abs=0.05)


def test_add_brings_every_real_item_once() -> None:
    data = blend(range(4), 18, ratio=0.25, mode="add")
    orders = []
    for epoch in range(2):
        data.set_epoch(epoch)
        orders.append(real(list(BlendedBatchSampler(data, 4))))
    assert [sorted(order) for order in orders] == [list(range(18))] * 2
    assert orders[0] != orders[1]


def test_it_is_a_pure_function_of_seed_and_epoch() -> None:
    first, again, other = (blend(range(4), seed=seed) for seed in (1, 1, 2))
    assert list(BlendedBatchSampler(first, 4)) == list(BlendedBatchSampler(again, 4))
    assert list(BlendedBatchSampler(first, 4)) != list(BlendedBatchSampler(other, 4))
    again.set_epoch(1)
    assert list(BlendedBatchSampler(first, 4)) != list(BlendedBatchSampler(again, 4))
    again.set_epoch(0)
    assert list(BlendedBatchSampler(first, 4)) == list(BlendedBatchSampler(again, 4))


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("processes", [2, 3])
def test_ranks_and_accelerate_deal_the_same_batches_out(mode: str, processes: int) -> None:
    data = blend(range(4), 45, ratio=0.4, mode=mode)
    whole = list(BlendedBatchSampler(data, 4))
    ranks = [list(BlendedBatchSampler(data, 4, num_replicas=processes, rank=rank)) for rank in range(processes)]
    shards = [BatchSamplerShard(BlendedBatchSampler(data, 4), processes, rank) for rank in range(processes)]
    assert [list(shard) for shard in shards] == ranks
    assert [len(shard) for shard in shards] == [len(whole) // processes] * processes
    dealt = [source for batches in ranks for source in real(batches)]
    assert sorted(dealt) == sorted(real(whole[: len(whole) // processes * processes]))
    assert len(dealt) == len({*dealt})


@pytest.mark.parametrize("options", [{}, {"num_workers": 2, "multiprocessing_context": "fork"}])
def test_batches_reach_the_data_through_transforms_and_workers(pool: PoolDataset, options: dict[str, object]) -> None:
    data = blend(pool, ratio=0.25)
    loader = DataLoader(Dataset(data, negate), batch_sampler=BlendedBatchSampler(data, 4), **options)
    for epoch in range(2):
        data.set_epoch(epoch)
        wanted = [[-data.apply(draw) for draw in batch] for batch in BlendedBatchSampler(data, 4)]
        assert [batch.tolist() for batch in loader] == wanted


def negate(number: int) -> int:
    return -number


def test_what_fills_no_batch_is_refused() -> None:
    data = blend(range(4), 7)
    for size, options in ((0, {}), (8, {}), (4, {"num_replicas": 2}), (2, {"num_replicas": 2, "rank": 2})):
        with pytest.raises(ConfigError):
            BlendedBatchSampler(data, size, **options)
