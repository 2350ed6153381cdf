"""Data sets in nnU-Net's raw layout: what is read, and one clear error for each thing that is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from volumes import GRID, LABELS, mask, noise, shared_data, write_dataset

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import DatasetError, InvalidVolume, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.volume import Volume


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "Dataset700_Test", ("b_2", "a_1"))


def describe(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_reads_a_case(folder):
    dataset = RawDataset(folder)
    assert dataset.case_ids == ("a_1", "b_2")
    case = dataset.load("a_1")
    assert case.image.shape == (1, *GRID.shape)
    assert case.image.dtype == np.float32
    assert np.array_equal(case.label, mask().data)
    assert case.grid.matches(GRID)
    assert np.array_equal(dataset.load_label("a_1").data, case.label)


def test_channels_come_in_the_order_of_their_suffix(folder):
    names = {str(i): f"c{i}" for i in range(11)}
    describe(folder, channel_names=names)
    for case_id in ("a_1", "b_2"):
        for i in range(11):
            write_nifti(folder / "imagesTr" / f"{case_id}_{i:04d}.nii.gz", noise(seed=i))
    dataset = RawDataset(folder)
    assert dataset.channel_names == tuple(names.values())
    image = dataset.load("a_1").image
    assert all(np.array_equal(image[i], noise(seed=i).data) for i in range(11))


def test_inputs_are_never_modified(folder):
    def state():
        files = (p for p in sorted(folder.rglob("*")) if p.is_file())
        return {p.name: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files}

    before = state()
    dataset = RawDataset(folder)
    for case_id in dataset.case_ids:
        dataset.load(case_id)
    assert state() == before


@pytest.mark.parametrize("name", ["700", "Dataset700", "Dataset700_Test"])
def test_found_by_number_or_name(folder, monkeypatch, name):
    monkeypatch.setenv("nnUNet_raw", str(folder.parent))
    (folder.parent / "Dataset7000_Other").mkdir()
    (folder.parent / "Dataset700_Test.zip").touch()
    assert RawDataset.find(name).name == "Dataset700_Test"


@pytest.mark.parametrize("name", ["701", "Dataset70", "²", "", "a\0b"])
def test_not_found(folder, monkeypatch, name):
    monkeypatch.setenv("nnUNet_raw", str(folder.parent))
    with pytest.raises(DatasetError):
        RawDataset.find(name)


def test_ambiguous_number(folder, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(folder.parent))
    (folder.parent / "Dataset700_Twin").mkdir()
    with pytest.raises(DatasetError, match="2 data sets match '700'"):
        RawDataset.find("700")


def test_name_without_nnunet_raw(monkeypatch):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(DatasetError, match="nnUNet_raw"):
        RawDataset.find("700")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\xff", '{"labels": ' + "[" * 100_000])
def test_unreadable_description(folder, text):
    (folder / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises((DatasetError, LabelError)):
        RawDataset(folder)


def test_missing_description(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset\.json: cannot be read"):
        RawDataset(tmp_path)


@pytest.mark.parametrize("channels", [None, {}, [], {"1": "MR"}, {"a": "MR"}, {"0": "a", "2": "b"}])
def test_unusable_channels(folder, channels):
    describe(folder, channel_names=channels)
    with pytest.raises(DatasetError, match="channel_names"):
        RawDataset(folder).load("a_1")


@pytest.mark.parametrize("ending", [".mha", ".nrrd", "", [], ".NII.GZ"])
def test_unsupported_file_ending(folder, ending):
    describe(folder, file_ending=ending)
    with pytest.raises(DatasetError, match="cannot read"):
        RawDataset(folder)


def test_no_cases(folder):
    shutil.rmtree(folder / "imagesTr")
    shutil.rmtree(folder / "labelsTr")
    with pytest.raises(DatasetError, match="no training cases"):
        RawDataset(folder).case_ids  # noqa: B018


@pytest.mark.parametrize("lost", ["imagesTr/a_1_0000.nii.gz", "labelsTr/a_1.nii.gz"])
def test_image_or_mask_missing(folder, lost):
    (folder / lost).unlink()
    with pytest.raises(DatasetError, match="only an image or only a mask: a_1"):
        RawDataset(folder).case_ids  # noqa: B018


def test_unknown_case(folder):
    with pytest.raises(DatasetError, match=r"no case '\.\./a_1'"):
        RawDataset(folder).load("../a_1")


def test_hidden_files_are_no_cases(folder):
    (folder / "labelsTr" / "._a_1.nii.gz").touch()
    (folder / "labelsTr" / ".a_1.nii.gz.0f0f0f0f.partial").touch()
    assert RawDataset(folder).case_ids == ("a_1", "b_2")


def test_shifted_image_names_both_files_and_the_distance(folder):
    affine = GRID.affine.copy()
    affine[0, 3] += 5
    write_nifti(folder / "imagesTr" / "a_1_0000.nii.gz", noise(Grid(GRID.shape, affine)))
    with pytest.raises(InvalidVolume, match=r"a_1_0000\.nii\.gz: corners lie up to 5\.000 mm from those of a_1\.nii"):
        RawDataset(folder).load("a_1")


def test_flipped_image_is_refused(folder):
    write_nifti(folder / "imagesTr" / "a_1_0000.nii.gz", noise(Grid(GRID.shape, GRID.affine @ np.diag([-1, 1, 1, 1]))))
    with pytest.raises(InvalidVolume, match="mm from those of"):
        RawDataset(folder).load("a_1")


def test_other_shape_is_refused(folder):
    write_nifti(folder / "imagesTr" / "a_1_0000.nii.gz", noise(Grid((10, 9, 7), GRID.affine)))
    with pytest.raises(InvalidVolume, match=r"shape \(10, 9, 7\), but a_1\.nii\.gz has \(10, 9, 8\)"):
        RawDataset(folder).load("a_1")


def test_rounding_of_a_header_is_no_mismatch(folder):
    affine = GRID.affine.copy()
    affine[:3, 3] += 5e-4
    write_nifti(folder / "imagesTr" / "a_1_0000.nii.gz", noise(Grid(GRID.shape, affine)))
    RawDataset(folder).load("a_1")


def test_label_outside_the_schema(folder):
    data = mask().data.copy()
    data[0, 0, :2] = 9
    write_nifti(folder / "labelsTr" / "a_1.nii.gz", Volume(data, GRID))
    with pytest.raises(LabelError, match=r"a_1\.nii\.gz: .*9 \(2 voxels\); allowed are 0\.\.4"):
        RawDataset(folder).load("a_1")


def test_damaged_mask(folder):
    path = folder / "labelsTr" / "a_1.nii.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InvalidVolume, match=r"a_1\.nii\.gz: truncated"):
        RawDataset(folder).load("a_1")


def test_files_listed_in_the_description_are_used(tmp_path, monkeypatch):
    source = write_dataset(tmp_path / "elsewhere", ("x",))
    monkeypatch.setenv("SOME_STORE", str(source))
    entry = {"images": ["$SOME_STORE/imagesTr/x_0000.nii.gz"], "label": str(source / "labelsTr" / "x.nii.gz")}
    folder = write_dataset(tmp_path / "Dataset701_Listed", (), dataset={"renamed": entry})
    dataset = RawDataset(folder)
    assert dataset.case_ids == ("renamed",)
    assert np.array_equal(dataset.load("renamed").label, mask().data)


@pytest.mark.parametrize(
    "listing",
    [
        None,
        [],
        {},
        {"a": None},
        {"a": {"images": ["x"]}},
        {"a": {"images": 3, "label": "y"}},
        {"a": {"images": [], "label": "y"}},
    ],
)
def test_unusable_listing(folder, listing):
    describe(folder, dataset=listing)
    with pytest.raises(DatasetError):
        RawDataset(folder).case_ids  # noqa: B018


def test_listed_names_cannot_escape(folder):
    describe(folder, dataset={"../x": {"images": ["a"], "label": "b"}})
    with pytest.raises(DatasetError, match="not a plain name"):
        RawDataset(folder).case_ids  # noqa: B018


def test_same_cases_as_nnunet(folder):
    utils = pytest.importorskip("nnunetv2.utilities.utils")
    theirs = utils.get_filenames_of_train_images_and_targets(str(folder))
    dataset = RawDataset(folder)
    assert sorted(theirs) == list(dataset.case_ids)
    for case_id, files in theirs.items():
        assert [str(p) for p in dataset.image_paths(case_id)] == files["images"]
        assert str(dataset.label_path(case_id)) == files["label"]


def test_label_hash_finds_a_renamed_mask(folder):
    dataset = RawDataset(folder)
    assert dataset.label_hash("a_1") == dataset.label_hash("b_2")  # both are `mask()`
    data = mask().data.copy()
    data[0, 0, 0] = 1
    write_nifti(folder / "labelsTr" / "b_2.nii.gz", Volume(data, GRID))
    assert dataset.label_hash("a_1") != dataset.label_hash("b_2")


def test_real_data_sets_are_read():
    for name, cases in (("Dataset801_ChaosT2", 12), ("Dataset802_IrcadCT", 1)):
        dataset = RawDataset(shared_data(name))
        assert len(dataset.case_ids) == cases
        case = dataset.load(dataset.case_ids[0])
        assert case.image.shape[1:] == case.label.shape == case.grid.shape


def test_nibabel_reads_what_the_fixture_wrote(folder):
    written = nib.load(folder / "labelsTr" / "a_1.nii.gz")
    assert set(np.unique(written.dataobj)) == set(LABELS.values())
