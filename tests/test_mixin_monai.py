"""SyntheticMixin with MONAI's caching data sets: real items are cached, synthetic ones come anew."""

from collections import Counter
from pathlib import Path

import pools
import pytest
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.transforms import Lambda
from numbered import negative

from lldm_aug.blending.mixin import SyntheticMixin

LOADS: Counter[int] = Counter()


class BlendedCache(SyntheticMixin, CacheDataset):
    """Mixed into a class that transforms."""


class BlendedPersistent(SyntheticMixin, PersistentDataset):
    """Mixed into a class that writes its cache to files."""


def count(item: int) -> int:
    LOADS[item] += 1
    return 100 + item


load = Lambda(count)  # MONAI caches what its own deterministic transforms give, and calls plain functions each time


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pools.write_pool(tmp_path_factory.mktemp("pool"), cases=4)


BUILDERS = {
    "cache, wrapped": lambda _, blend: SyntheticMixin(CacheDataset(range(10), load, progress=False), **blend),
    "cache, mixed in": lambda _, blend: BlendedCache(range(10), load, progress=False, **blend),
    "files, wrapped": lambda folder, blend: SyntheticMixin(PersistentDataset([*range(10)], load, folder), **blend),
    "files, mixed in": lambda folder, blend: BlendedPersistent([*range(10)], load, folder, **blend),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_real_items_are_loaded_once_and_synthetic_ones_drawn_each_epoch(name: str, pool: Path, tmp_path: Path) -> None:
    LOADS.clear()
    data = BUILDERS[name](tmp_path, {"pool": pool, "ratio": 0.3, "mode": "add", "convert": negative})
    epochs = []
    for epoch in range(3):
        data.set_epoch(epoch)
        epochs.append([int(item) for item in data])
    assert Counter(range(10)) == LOADS
    assert all([item for item in drawn if item >= 0] == [*range(100, 110)] for drawn in epochs)
    assert all(sum(item < 0 for item in drawn) == 4 for drawn in epochs)
    assert len({tuple(item for item in drawn if item < 0) for drawn in epochs}) > 1


def test_a_transform_around_meets_both_kinds(pool: Path) -> None:
    data = SyntheticMixin(CacheDataset(range(10), load, progress=False), pool=pool, convert=negative)
    around = Dataset(data, lambda item: item * 1000)
    drawn = [int(around[i]) for i in range(10)]
    assert all(item % 1000 == 0 for item in drawn)
    assert 0 < sum(item < 0 for item in drawn) < 10
