"""The split is nnU-Net's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes import shared_data, write_dataset

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Split, load_split, make_splits, parse_fold, parse_folds
from lldm_aug.errors import DatasetError

IDS = ("c1", "a_2", "b-3", "d 4", "E5", "f.6", "g+7")
names = st.lists(st.text("aZ09_-.+é 漢", min_size=1, max_size=8), min_size=5, max_size=60, unique=True)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    return RawDataset(write_dataset(tmp_path / "raw" / "Dataset700_Test", IDS))


def written_split(dataset, tmp_path):
    return tmp_path / "preprocessed" / dataset.name / "splits_final.json"


@settings(deadline=None, max_examples=200)
@given(names)
def test_equals_nnunets_split(case_ids):
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    assert make_splits(tuple(case_ids)) == generate_crossval_split(sorted(case_ids))


@pytest.mark.parametrize("n", [5, 6, 7, 8, 9, 10, 12, 99, 100, 720, 1001])
def test_equals_nnunets_split_for_many_sizes(n):
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    ids = tuple(f"case_{i}" for i in range(n))  # sorted as text, not as numbers
    assert make_splits(ids) == generate_crossval_split(sorted(ids))


@given(names)
def test_every_case_is_held_out_once(case_ids):
    splits = make_splits(tuple(case_ids))
    assert sorted(case_id for split in splits for case_id in split["val"]) == sorted(case_ids)
    assert all(sorted(split["train"] + split["val"]) == sorted(case_ids) for split in splits)


def test_order_of_ids_does_not_matter():
    assert make_splits(IDS) == make_splits(tuple(reversed(IDS)))


def test_too_few_cases():
    with pytest.raises(DatasetError, match="4 cases cannot be split into 5 folds"):
        make_splits(IDS[:4])


def test_made_split_is_written_where_nnunet_reads_it(dataset, tmp_path):
    split = load_split(dataset, 0)
    stored = json.loads(written_split(dataset, tmp_path).read_text())
    assert stored == make_splits(dataset.case_ids)
    assert list(split.val) == stored[0]["val"]


def test_existing_split_wins(dataset, tmp_path):
    path = written_split(dataset, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"train": list(IDS[:3]), "val": list(IDS[3:])}]))
    assert load_split(dataset, 0) == Split(0, IDS[:3], IDS[3:])
    with pytest.raises(DatasetError, match=r"no fold 1; there are 0\.\.0"):
        load_split(dataset, 1)


def test_without_preprocessed_folder_nothing_is_written(dataset, tmp_path, monkeypatch):
    before = load_split(dataset, 3)
    monkeypatch.delenv("nnUNet_preprocessed")
    written_split(dataset, tmp_path).unlink()
    assert load_split(dataset, 3) == before
    assert not written_split(dataset, tmp_path).exists()


def test_fold_all_holds_nothing_out(dataset):
    assert load_split(dataset, "all") == Split("all", dataset.case_ids, ())


@pytest.mark.parametrize("fold", [5, -1, "0", "x", None])
def test_missing_fold(dataset, fold):
    with pytest.raises(DatasetError, match=r"no fold .*; there are 0\.\.4 and 'all'"):
        load_split(dataset, fold)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a list of folds"),
        ("{}", "not a list of folds"),
        ('[{"train": []}]', "not a list of folds"),
        ('[{"train": ["a"], "val": "b"}]', "not a list of folds"),
        ('[{"train": [1], "val": []}]', "not a list of folds"),
        ("\xff", "not a list of folds"),
        ('[{"train": ["c1", "zz"], "val": []}]', "lacks: zz"),
        ('[{"train": ["c1", "a_2"], "val": ["a_2"]}]', "in training and validation of fold 0: a_2"),
    ],
)
def test_damaged_split(dataset, tmp_path, text, message):
    path = written_split(dataset, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=message):
        load_split(dataset, 0)


def test_hash_names_the_cases_not_their_order():
    assert Split(0, ("a", "b"), ("c",)).hash == Split(1, ("b", "a"), ("c",)).hash
    assert Split(0, ("a", "b"), ("c",)).hash != Split(0, ("a",), ("b", "c")).hash


def test_parse_fold():
    assert parse_fold("0") == 0
    assert parse_fold("all") == "all"
    for text in ("", "-1", "1.0", "ALL", "²", "٣", "9" * 5000):
        with pytest.raises(DatasetError, match="neither a number nor 'all'"):
            parse_fold(text)


def test_real_data_split_equals_nnunets(monkeypatch):
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    dataset = RawDataset(shared_data("Dataset801_ChaosT2"))
    theirs = generate_crossval_split(sorted(dataset.case_ids))
    assert [list(load_split(dataset, fold).val) for fold in range(5)] == [split["val"] for split in theirs]


def test_a_dry_run_makes_the_same_split_and_writes_nothing(dataset, tmp_path):
    first = load_split(dataset, 0, write=False)
    assert not (tmp_path / "preprocessed").exists()
    assert load_split(dataset, 0) == first


@pytest.mark.parametrize(
    ("text", "folds"), [("0-4", (0, 1, 2, 3, 4)), ("3", (3,)), ("0,2", (0, 2)), ("1-2, 2,0", (1, 2, 0))]
)
def test_folds_are_ranges_and_lists(text: str, folds: tuple[int, ...]) -> None:
    assert parse_folds(text) == folds


@pytest.mark.parametrize("text", ["", "all", "4-0", "-1", "0-", "0,,1", "1.5"])
def test_other_folds_are_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="no numbers"):
        parse_folds(text)
