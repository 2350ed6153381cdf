"""Inpainting in memory: kinds of samples, seeds by item and epoch in any worker, and what is refused."""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureTyped, LoadImaged
from pools import DATASET_JSON, GRID, blob_case
from tiny import tiny_generator
from torch.utils.data import DataLoader, Dataset

import lldm_aug
from lldm_aug.anatomy.declaration import Anatomy, Lesion, Numbers
from lldm_aug.blending.convert import as_dictionary, as_monai, as_pair, as_subject
from lldm_aug.blending.leakage import LeakageWarning
from lldm_aug.cli import main
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import ConfigError, InvalidVolume, LabelError, LeakageError
from lldm_aug.geometry import Grid
from lldm_aug.inpainting.inpaint import Inpaint, InpaintWarning
from lldm_aug.inpainting.inpainter import Painted
from lldm_aug.inpainting.painting_windows import Window, in_batches
from lldm_aug.inpainting.sample import SampleLayout, case_name
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.models.generator import Generator

SCHEMA = LabelSchema.from_dataset_json(DATASET_JSON)
KINDS = {"pair": as_pair, "dictionary": as_dictionary, "MONAI": as_monai, "TorchIO": as_subject}


@dataclass(frozen=True)
class Negative:
    """Paints the negative of the host; quick, and of no other case."""

    donors: tuple[str, ...] = ()
    kind: str = "negative"

    def inpaint(self, host: Case, label: np.ndarray, region: np.ndarray, seed: int) -> Painted:
        value = 1 + seed % 1000
        return Painted(np.where(region, -host.image - value, host.image).astype(np.float32), self.donors)


class Pairs(Dataset[Any]):
    """Items of a plain data set."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return as_pair(case(index))


def case(index: int = 0) -> Case:
    image, label = blob_case(0, index)
    return Case(f"case_{index:02d}", image[None], label, GRID)


def arrays(sample: Any) -> tuple[np.ndarray, np.ndarray]:
    """Image (C, X, Y, Z) and mask (X, Y, Z) of any kind of sample."""
    if isinstance(sample, Case):
        return sample.image, sample.label
    image, label = sample if isinstance(sample, tuple) else (sample["image"], sample["label"])
    image, label = (getattr(x, "tensor", x) if hasattr(x, "set_data") else x for x in (image, label))
    image, label = np.asarray(image), np.asarray(label)
    return image, label.reshape(label.shape[-3:])


def always(inpainter: Any = Negative(), labels: Any = SCHEMA, **options: Any) -> Inpaint:
    """Edits every sample."""
    layout = SampleLayout(spacing_mm=GRID.spacing_mm)
    return Inpaint(inpainter, labels, **{"probability": 1.0, "layout": layout, **options})


@pytest.fixture(scope="module")
def generator(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator.load(tiny_generator(dataset, tmp_path_factory.mktemp("run")) / "generator")


@pytest.mark.parametrize("kind", [*KINDS, "case"])
def test_the_same_kind_of_sample_comes_back_and_only_the_region_changes(kind: str) -> None:
    if kind == "TorchIO":
        pytest.importorskip("torchio")
    sample = KINDS.get(kind, lambda case: case)(case())
    before = [values.copy() for values in arrays(sample)]
    edited = always()(sample, item=0)
    assert type(edited) is type(sample)
    assert [np.array_equal(*pair) for pair in zip(before, arrays(sample), strict=True)] == [True, True]
    image, label = arrays(edited)
    assert [values.dtype for values in (image, label)] == [values.dtype for values in before]
    changed = (image != before[0]).any(axis=0)
    assert 0 < changed.sum() < 0.8 * changed.size
    assert (label != before[1]).any()
    assert changed[label != before[1]].all()


def test_every_kind_of_sample_is_edited_alike() -> None:
    kinds = {name: make for name, make in KINDS.items() if name != "TorchIO"}
    found = [arrays(always()(make(case()), item=5, epoch=2)) for make in kinds.values()]
    assert all(np.array_equal(image, found[0][0]) and np.array_equal(label, found[0][1]) for image, label in found)


def test_affine_names_and_types_stay() -> None:
    sample = as_monai(case())
    sample["image"] = MetaTensor(sample["image"].double(), meta=sample["image"].meta)
    edited = always()({**sample, "age": 50}, item=0)
    assert edited["age"] == 50
    assert edited["image"].dtype == torch.float64
    assert edited["image"].meta["filename_or_obj"] == "case_00"
    assert torch.equal(edited["image"].affine, sample["image"].affine)


def test_a_subject_keeps_its_affine_and_shows_the_edit_as_attribute() -> None:
    pytest.importorskip("torchio")
    sample = as_subject(case())
    edited = always()(sample, item=0)
    assert np.array_equal(edited.image.affine, sample.image.affine)
    assert torch.equal(edited.image.data, edited["image"].data)
    assert not torch.equal(edited.image.data, sample.image.data)


def test_in_a_pipeline_of_monai_files_name_the_cases(dataset: RawDataset) -> None:
    inpaint = always(labels=dataset, training=dataset.case_ids[:4])
    load = LoadImaged(["image", "label"], ensure_channel_first=True)
    pipeline = Compose([load, inpaint, EnsureTyped(["image", "label"])])

    def files(name: str) -> dict[str, str]:
        return {"image": str(dataset.image_paths(name)[0]), "label": str(dataset.label_path(name))}

    _, label = arrays(pipeline(files("case_02")))
    assert (label != dataset.load("case_02").label).any()
    with pytest.raises(RuntimeError) as error:
        pipeline(files("case_05"))
    assert isinstance(error.value.__cause__, LeakageError)


@pytest.mark.filterwarnings("ignore::lldm_aug.inpainting.inpaint.InpaintWarning")
def test_the_share_of_edited_samples_and_what_decides_them() -> None:
    inpaint, sample = always(probability=0.3), case()

    def pattern(epoch: int) -> list[bool]:
        return [inpaint(sample, item=item, epoch=epoch) is not sample for item in range(40)]

    assert 5 <= sum(pattern(0)) <= 19
    assert pattern(0) == pattern(0) != pattern(1)
    assert not any(always(probability=0.0)(sample, item=item) is not sample for item in range(5))


def test_item_epoch_and_seed_decide_the_edit() -> None:
    def label(seed: int = 0, **options: Any) -> bytes:
        return always(seed=seed)(case(), **options).label.tobytes()

    assert label(item=1, epoch=0) == label(item=1, epoch=0)
    others = [label(item=2, epoch=0), label(item=1, epoch=1), label(1, item=1, epoch=0)]
    assert len({label(item=1, epoch=0), *others}) == 4


def test_without_an_item_the_voxels_stand_for_it() -> None:
    inpaint = always()
    edited = inpaint(as_pair(case()))
    assert all(map(torch.equal, edited, inpaint(as_pair(case()))))
    inpaint.set_epoch(1)
    assert not torch.equal(edited[0], inpaint(as_pair(case()))[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_bytes(generator: Generator, workers: int) -> None:
    data = always(generator, seed=3).over(Pairs())
    loader = partial(DataLoader, data, batch_size=1)
    running = loader(num_workers=workers, persistent_workers=True)
    epochs = []
    for epoch in range(2):
        data.set_epoch(epoch)
        epochs.append([tuple(x.numpy().tobytes() for x in batch) for batch in running])
    data.set_epoch(0)
    torch.set_num_threads(1)  # as in workers
    assert epochs[0] == [tuple(x.numpy().tobytes() for x in batch) for batch in loader()]
    assert all(one != other for one, other in zip(*epochs, strict=True))


def test_a_generator_paints_in_the_host_s_own_range(generator: Generator) -> None:
    host = case()
    edited = always(generator)(host, item=0)
    changed = (edited.image != host.image).any(axis=0)
    assert changed[edited.label != host.label].mean() > 0.95
    assert host.image.min() <= edited.image.min()
    assert edited.image.max() <= host.image.max()


@pytest.mark.parametrize("region", ["lesions", "organ"])
def test_other_regions_keep_the_mask(region: str) -> None:
    edited = always(region=region)(case(), item=0)
    assert np.array_equal(edited.label, case().label)
    changed = (edited.image != case().image).any(axis=0)
    assert changed[case().label >= (2 if region == "lesions" else 1)].all()


def test_an_organ_without_lesions_is_painted() -> None:
    hippocampus = LabelSchema(("anterior", "posterior"))
    edited = always(labels=hippocampus, region="organ")(case(), item=0)
    assert (edited.image != case().image).any()
    with pytest.raises(LabelError, match="none of anterior, posterior is known to be a lesion"):
        always(labels=hippocampus)


def test_samples_without_an_organ_stay_silently_and_others_with_a_warning() -> None:
    empty = Case("x", case().image, np.zeros_like(case().label), GRID)
    speck = empty.label.copy()
    speck[10, 10, 10] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert always()(empty, item=0) is empty
    crumb = Case("x", case().image, speck, GRID)
    with pytest.warns(InpaintWarning, match="x: no valid edit"):
        assert always()(crumb, item=0) is crumb


def test_the_guard_knows_the_generator_hosts_and_donors(generator: Generator, dataset: RawDataset) -> None:
    seen = next(iter(generator.description.stages[0].cases))
    unseen = next(c for c in dataset.case_ids if all(c not in stage.cases for stage in generator.description.stages))
    inpaint = always(generator, dataset, training=[seen])
    inpaint.check([unseen])
    with pytest.raises(LeakageError, match=rf"autoencoder saw {seen}.*masks saw {seen}"):
        inpaint.check([seen])
    with pytest.raises(LeakageError, match=seen):  # its mask, under another name in another data set
        always(generator, SCHEMA).check({"other": dataset.label_hash(seen)}, "Dataset001_Other")
    with pytest.raises(LeakageError, match=f"{unseen}: a validation case would be edited"):
        inpaint(dataset.load(unseen))
    with pytest.warns(LeakageWarning):
        assert inpaint.check([seen], allow=True)
    with pytest.raises(LeakageError, match="case_99"):
        always(Negative(("case_99",)), training=["case_00"])(case(), item=0)


def test_lesions_are_measured_and_copied_as_the_anatomy_says(dataset: RawDataset) -> None:
    anatomy = Anatomy(lesions={"hcc": Lesion(within=("liver",), shapes=("copies",))}, numbers=Numbers(mean_added=2.0))
    inpaint = always(labels=dataset, anatomy=anatomy, training=dataset.case_ids)
    host = dataset.load(dataset.case_ids[0])
    edited = inpaint(host, item=1)
    assert (edited.label != host.label).any()
    assert np.array_equal(pickle.loads(pickle.dumps(inpaint))(host, item=1).label, edited.label)
    bare = Case(host.case_id, host.image, np.minimum(host.label, 1), host.grid)
    assert inpaint(bare, item=1) is bare  # nobody says that it has no lesion
    with pytest.raises(LabelError, match="nobody says how large hcc is"):
        always(anatomy=anatomy)


def test_a_host_that_is_not_for_training_is_refused() -> None:
    inpaint = always(training=["case_00", "case_01"])
    assert inpaint(case(1)) is not None
    with pytest.raises(LeakageError, match="case_02: it is not among the training cases"):
        inpaint(case(2))
    with pytest.raises(ConfigError, match="names no case"):
        inpaint(as_pair(case()), item=0)
    assert inpaint(as_pair(case()), item="case_00") is not None
    with pytest.raises(LeakageError, match="b"):
        inpaint.over(Pairs(), names=["a", "b", "c", "d"])[1]


BAD = {
    "a batch": lambda: (torch.zeros(2, 1, 8, 8, 8), torch.zeros(2, 8, 8, 8)),
    "another shape": lambda: (torch.zeros(1, 8, 8, 8), torch.zeros(8, 8, 7)),
    "shares": lambda: (torch.zeros(1, 8, 8, 8), torch.full((8, 8, 8), 0.5)),
    "an unknown label": lambda: (torch.zeros(1, 8, 8, 8), torch.full((8, 8, 8), 7)),
    "another key": lambda: {"t1": torch.zeros(1, 8, 8, 8), "label": torch.zeros(8, 8, 8)},
    "a number": lambda: 3,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_samples_are_refused(name: str) -> None:
    with pytest.raises((ConfigError, InvalidVolume, LabelError)):
        always()(BAD[name](), item=0)


def test_bad_settings_are_refused(generator: Generator) -> None:
    for options in ({"probability": 1.5}, {"region": "all"}, {"margin_mm": -1.0}, {"strength": 2.0}):
        with pytest.raises(ConfigError, match=f"{next(iter(options.values()))}"):
            Inpaint(generator, SCHEMA, **options)
    with pytest.raises(ConfigError, match="no affine"):
        Inpaint(Negative(), SCHEMA)(as_pair(case()), item=0)
    with pytest.raises(ConfigError, match="3 names for 4 items"):
        always().over(Pairs(), names=["a", "b", "c"])
    with pytest.raises(ConfigError, match="Give dataset="):
        always().check(["case_00"])
    with pytest.raises(LabelError, match="hepatic_vein"):
        Inpaint(generator, HBP, region="organ")


def test_a_file_belongs_to_a_case() -> None:
    paths = ["a/case_01_0000.nii.gz", Path("case_01.nii.gz"), "case_01.nii", "b/case_01"]
    assert {case_name(path) for path in paths} == {"case_01"}


def test_it_is_part_of_the_package() -> None:
    assert lldm_aug.Inpaint is Inpaint


def window(start: int, side: int, core: tuple[int, int]) -> Window:
    """Along the first axis of a grid of 64 voxels."""
    part = Grid.regular((64, 16, 16), (1.0, 1.0, 1.0)).crop
    return Window(part((start, 0, 0), (side, 16, 16)), part((core[0], 0, 0), (core[1] - core[0], 16, 16)))


def test_windows_share_a_batch_unless_one_shows_what_the_other_paints() -> None:
    first, apart, beside = window(0, 16, (4, 8)), window(10, 16, (17, 20)), window(6, 16, (9, 12))
    other = window(40, 24, (48, 56))
    assert in_batches([first, apart, other]) == [[first, apart], [other]]
    assert in_batches([first, beside, apart]) == [[first], [beside], [apart]]
    far = [window(16 * k, 16, (16 * k + 6, 16 * k + 10)) for k in range(4)]
    assert [len(batch) for batch in in_batches([*far, *far])] == [4, 4]


@pytest.mark.slow
def test_its_time_is_measured(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["bench", "inpainting", "--n", "1", "--workers", "0", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "inpainting.json").read_text())["criteria"]
    assert all(figure["value"] > 0 for figure in figures)
