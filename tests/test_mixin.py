"""SyntheticMixin: pure in (seed, epoch, index), whatever the workers do; as a wrapper and as a mix-in class."""

import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pools
import pytest
import torch
from numbered import Blended, Numbers, NumberStream, negative
from torch.utils.data import DataLoader, DistributedSampler, Subset

import lldm_aug
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.errors import ConfigError, PoolError
from lldm_aug.pool.pool_dataset import PoolDataset


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pools.write_pool(tmp_path_factory.mktemp("pool"), cases=4)


def blend(pool: Path, length: int = 40, **options: object) -> SyntheticMixin[int]:
    return SyntheticMixin(Numbers(length), pool=pool, convert=negative, **options)


def items(data: SyntheticMixin[int], **options: object) -> list[int]:
    return [int(i) for batch in DataLoader(data, batch_size=8, **options) for i in batch]


def test_exported_lazily() -> None:
    assert lldm_aug.SyntheticMixin is SyntheticMixin
    assert all(hasattr(lldm_aug, name) for name in lldm_aug.__all__)
    code = "import lldm_aug, sys; lldm_aug.SyntheticMixin; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(lldm_aug.__file__).parents[1])


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_replace_keeps_the_length_and_the_share(pool: Path, ratio: float) -> None:
    data = blend(pool, ratio=ratio)
    synthetic = [data.draw(i).synthetic for i in range(len(data))]
    assert len(data) == 40
    assert abs(sum(synthetic) - 40 * ratio) < 1


def test_replace_keeps_real_items_in_their_places(pool: Path) -> None:
    assert all(item in (index, -1, -2, -3, -4) for index, item in enumerate(items(blend(pool))))


def test_add_keeps_every_real_item_once(pool: Path) -> None:
    drawn = items(blend(pool, ratio=0.2, mode="add"))
    assert [i for i in drawn if i >= 0] == list(range(40))
    assert sum(i < 0 for i in drawn) == 10


def test_epochs_differ_and_come_back(pool: Path) -> None:
    data = blend(pool)
    first = items(data)
    data.set_epoch(1)
    assert items(data) != first
    data.set_epoch(0)
    assert items(data) == first


def test_seeds_differ(pool: Path) -> None:
    assert items(blend(pool, seed=1)) != items(blend(pool, seed=2))


def test_every_case_of_the_pool_is_drawn(pool: Path) -> None:
    assert {i for i in items(blend(pool, length=200)) if i < 0} == {-1, -2, -3, -4}


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_change_nothing(pool: Path, context: str) -> None:
    data = blend(pool)
    alone = []
    for epoch in range(2):
        data.set_epoch(epoch)
        alone.append(items(data))
    loader = DataLoader(data, batch_size=8, num_workers=2, persistent_workers=True, multiprocessing_context=context)
    for epoch in range(2):
        data.set_epoch(epoch)
        assert [int(i) for batch in loader for i in batch] == alone[epoch]


def test_mixed_into_a_class_it_draws_the_same(pool: Path) -> None:
    mixed = Blended(40, pool=pool, convert=negative)
    assert isinstance(mixed, Numbers)
    assert items(mixed) == items(blend(pool))


class BlendedPart(SyntheticMixin, Subset):
    """A class that reads whole batches by a method of its own."""


class BlendedStream(SyntheticMixin, NumberStream):
    """What a data loader would iterate, and never ask for items."""


class Modes(Numbers):
    """A class whose attribute would be lost."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.mode = "train"


class BlendedModes(SyntheticMixin, Modes):
    """Cannot work."""


def test_a_class_that_reads_whole_batches_is_not_read_past_the_blend(pool: Path) -> None:
    part = BlendedPart(Numbers(40), list(range(40)), pool=pool, convert=negative)
    assert items(part) == items(blend(pool))


def test_what_a_loader_would_iterate_is_refused(pool: Path) -> None:
    for build in (BlendedStream, lambda n, **options: SyntheticMixin(NumberStream(n), **options)):
        with pytest.raises(ConfigError, match="SyntheticIterable"):
            build(40, pool=pool)


def test_a_class_with_attributes_of_our_names_is_refused(pool: Path) -> None:
    with pytest.raises(ConfigError, match="'mode' of its own"):
        BlendedModes(40, pool=pool)
    wrapped = SyntheticMixin(Modes(40), pool=pool, convert=negative)
    assert items(wrapped) == items(blend(pool))


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_ranks_share_the_epoch_without_overlap(pool: Path, mode: str) -> None:
    data = blend(pool, ratio=0.2, mode=mode)
    data.set_epoch(1)
    ranks = [DistributedSampler(data, num_replicas=2, rank=rank, drop_last=True) for rank in range(2)]
    drawn = [item for sampler in ranks for item in items(data, sampler=sampler)]
    assert sorted(drawn) == sorted(items(data)[: len(drawn)] if mode == "replace" else drawn)
    real = [item for item in drawn if item >= 0]
    assert len(real) == len({*real}) >= (40 if mode == "add" else 32) - (len(data) % 2)


def test_no_global_generator_is_read_or_moved(pool: Path) -> None:
    def state() -> tuple[object, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    data, before = blend(pool), state()
    first = [data[i] for i in range(40)]
    assert state() == before
    torch.manual_seed(1)
    assert [data[i] for i in range(40)] == first


def test_the_wrapped_data_set_is_told_the_epoch(pool: Path) -> None:
    real = Numbers(4)
    real.set_epoch = lambda epoch: setattr(real, "told", epoch)
    SyntheticMixin(real, pool=pool).set_epoch(5)
    assert real.told == 5


def test_pickles(pool: Path) -> None:
    data = blend(pool)
    data.set_epoch(3)
    copy = pickle.loads(pickle.dumps(data))
    assert items(copy) == items(data)
    copy.set_epoch(4)
    assert data.epoch == 3


def test_a_draw_says_what_it_is_and_can_be_applied_later(pool: Path) -> None:
    data = blend(pool)
    draws = [data.draw(i) for i in range(40)]
    data.set_epoch(9)
    first = [data.apply(draw) for draw in draws]
    data.set_epoch(0)
    assert first == items(data)


def test_indices_outside_are_refused(pool: Path) -> None:
    data = blend(pool)
    assert data[-1] == data[39]
    with pytest.raises(IndexError):
        data[40]


def test_default_sample_is_a_dictionary(pool: Path) -> None:
    sample = SyntheticMixin(Numbers(4), pool=pool, ratio=1.0)[0]
    assert sample["image"].shape == (1, *pools.GRID.shape)
    assert sample["image"].dtype == np.float32
    assert sample["label"].shape == (1, *pools.GRID.shape)
    assert np.allclose(sample["affine"], pools.GRID.affine)


def test_bad_settings_are_refused(pool: Path) -> None:
    for options in ({"ratio": 2}, {"mode": "mix"}, {"ratio": 1.0, "mode": "add"}):
        with pytest.raises(ConfigError):
            blend(pool, **options)
    with pytest.raises(ConfigError, match="no function"):
        SyntheticMixin(Numbers(4), pool=pool, convert="monai")
    with pytest.raises(ConfigError, match="one data set"):
        SyntheticMixin(pool=pool)


def test_a_pool_reads_back_what_was_written(pool: Path) -> None:
    data = PoolDataset(pool)
    image, label = pools.blob_case(1, 2)
    assert len(data) == 4
    assert np.array_equal(data[2].image[0], image)
    assert np.array_equal(data[2].label, label)


def test_a_pool_without_the_case_is_refused(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="syn_9999"):
        PoolDataset(pool, ["syn_9999"])
    with pytest.raises(PoolError, match="no cases"):
        PoolDataset(pools.write_pool(tmp_path, cases=0))


def test_a_file_that_changed_its_size_is_refused(tmp_path: Path) -> None:
    data = PoolDataset(pools.write_pool(tmp_path, cases=1))
    with (tmp_path / "images" / "syn_0000_0000.nii.gz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(PoolError, match="differs"):
        data[0]
