"""Ready conversions give what each library makes of the same files, so both kinds of item go into one batch."""

import sys
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pools
import pytest
import torch
import torchio as tio
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Spacingd

from lldm_aug.blending.convert import as_monai, as_pair, as_row, as_subject
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError
from lldm_aug.pool.pool_dataset import PoolDataset

KEYS = ["image", "label"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> PoolDataset:
    return PoolDataset(pools.write_pool(tmp_path_factory.mktemp("pool"), cases=2))


@pytest.fixture(scope="module")
def case(pool: PoolDataset) -> Case:
    return pool[0]


@pytest.fixture(scope="module")
def files(pool: PoolDataset) -> dict[str, Path]:
    """The files of the same case."""
    return {"image": pool.image_paths(pool.cases[0])[0], "label": pool.label_path(pool.cases[0])}


@pytest.fixture(scope="module")
def loaded(files: dict[str, Path]) -> dict[str, MetaTensor]:
    """What MONAI makes of them."""
    return Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS)])(files)


def test_monai(case: Case, loaded: dict[str, MetaTensor]) -> None:
    sample = as_monai(case)
    assert [*sample] == KEYS
    for key in KEYS:
        assert torch.equal(sample[key].as_tensor(), loaded[key].as_tensor())
        assert sample[key].dtype == loaded[key].dtype
        assert torch.equal(sample[key].affine, loaded[key].affine)
        assert sample[key].affine.dtype == loaded[key].affine.dtype
        assert np.array_equal(sample[key].meta["original_affine"], loaded[key].meta["original_affine"])
        assert sample[key].meta["space"] == loaded[key].meta["space"]
    assert sample["image"].meta["filename_or_obj"] == case.case_id


def test_monai_transforms_use_the_affine(case: Case, loaded: dict[str, MetaTensor]) -> None:
    resample = Spacingd(KEYS, (3.0, 3.0, 3.0), mode=("bilinear", "nearest"))
    ours, theirs = resample(as_monai(case)), resample(loaded)
    for key in KEYS:
        assert torch.equal(ours[key].as_tensor(), theirs[key].as_tensor())
        assert torch.equal(ours[key].affine, theirs[key].affine)


def test_monai_batches_mix(case: Case, loaded: dict[str, MetaTensor]) -> None:
    plain = as_monai(case, track_meta=False)
    assert type(plain["image"]) is type(plain["label"]) is torch.Tensor
    for items in ([as_monai(case), loaded], [loaded, as_monai(case)], [plain, plain]):
        batch = next(iter(DataLoader(items, batch_size=2)))
        assert batch["image"].shape == (2, 1, *pools.GRID.shape)
        assert torch.equal(batch["label"][0], batch["label"][1])


def test_torchio(case: Case, files: dict[str, Path]) -> None:
    real = tio.SubjectsDataset([tio.Subject(image=tio.ScalarImage(files["image"]), label=tio.LabelMap(files["label"]))])
    sample = as_subject(case)
    assert [*sample] == KEYS
    assert sample.spacing == pytest.approx(pools.GRID.spacing_mm)
    for key in KEYS:
        assert type(sample[key]) is type(real[0][key])
        assert torch.equal(sample[key].data, real[0][key].data)
        assert sample[key].data.dtype == real[0][key].data.dtype
        assert np.allclose(sample[key].affine, real[0][key].affine)
    for items in ([real[0], sample], [sample, real[0]]):
        batch = next(iter(tio.SubjectsLoader(items, batch_size=2)))
        assert batch["label"][tio.DATA].shape == (2, 1, *pools.GRID.shape)


class BlendedSubjects(SyntheticMixin, tio.SubjectsDataset):
    """A queue asks a SubjectsDataset for more than its items."""


def test_torchio_queue(pool: PoolDataset, files: dict[str, Path]) -> None:
    real = tio.Subject(image=tio.ScalarImage(files["image"]), label=tio.LabelMap(files["label"]))
    data = BlendedSubjects([real] * 4, pool=pool, ratio=0.5, convert=as_subject)
    queue = tio.Queue(data, max_length=4, samples_per_volume=1, sampler=tio.UniformSampler(8), shuffle_patches=False)
    patches = [patch["image"][tio.STEM] for patch in (queue[i] for i in range(len(queue)))]
    assert len(patches) == 4
    assert patches.count("") == 2


def test_hugging_face(case: Case) -> None:
    columns = {"image": [case.image], "label": [case.label]}
    row = datasets.Dataset.from_dict(columns).with_format("torch")[0]
    sample = as_row(case)
    assert [*sample] == KEYS
    for key in KEYS:
        assert torch.equal(sample[key], row[key])
        assert sample[key].dtype == row[key].dtype


def test_pair(case: Case) -> None:
    image, label = as_pair(case)
    assert np.array_equal(image.numpy(), case.image)
    assert np.array_equal(label.numpy(), case.label)
    assert label.dtype == torch.int64


@pytest.mark.parametrize("convert", [as_monai, as_row, as_subject])
def test_keys_have_any_name(case: Case, convert: object) -> None:
    assert [*partial(convert, image="t1", label="mask")(case)] == ["t1", "mask"]


def test_a_library_that_is_missing_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchio", None)
    with pytest.raises(ConfigError, match="pip install torchio"):
        as_subject(case)
