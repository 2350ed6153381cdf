"""Patients with several cases: the file, the split by patients, and who is whose relative."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import provenance
from volumes import write_dataset

from lldm_aug.data.patients import read_patients, relatives
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split, make_splits
from lldm_aug.errors import DatasetError, LeakageError
from lldm_aug.evaluation.heldout import HeldOut, refuse_seen

CASES = tuple(f"c{i}" for i in range(12))
PATIENTS = {case: f"p{i // 2}" for i, case in enumerate(CASES)}
groupings = st.lists(st.integers(0, 30), min_size=5, max_size=60).filter(lambda patients: len(set(patients)) >= 5)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawDataset:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    return RawDataset(write_dataset(tmp_path / "raw" / "Dataset700_Test", CASES))


def write(dataset: RawDataset, content: object) -> None:
    (dataset.folder / "patients.json").write_text(json.dumps(content))


def test_without_the_file_there_are_no_patients(tmp_path: Path) -> None:
    assert read_patients(CASES, tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a mapping"),
        ('{"a": 1}', "not a mapping"),
        ('{"a": ""}', "not a mapping"),
        ("{", "not valid JSON"),
        ('{"a": "p"}', "1 cases have no patient, such as b"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "patients.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_patients(("a", "b"), tmp_path)


def test_the_first_folder_with_the_file_counts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "patients.json").write_text(json.dumps({"a": name}))
    assert read_patients(("a",), tmp_path / "none", tmp_path / "one", tmp_path / "two") == {"a": "one"}


def test_relatives_are_the_other_cases_of_the_patients() -> None:
    patients = {**PATIENTS, "Dataset701_B/x": "p0", "Dataset701_B/y": "p99"}
    assert relatives(["c0", "c5"], patients) == {"Dataset701_B/x": "c0", "c1": "c0", "c4": "c5"}
    assert relatives(["c0", "c1"], PATIENTS) == {}
    assert relatives(["c0"], {}) == {}


@given(groupings)
def test_a_split_keeps_every_patient_on_one_side(grouping: list[int]) -> None:
    patients = {f"case_{i}": f"patient_{patient}" for i, patient in enumerate(grouping)}
    splits = make_splits(tuple(patients), patients)
    assert sorted(case for split in splits for case in split["val"]) == sorted(patients)
    for split in splits:
        assert not {patients[case] for case in split["train"]} & {patients[case] for case in split["val"]}
        assert sorted(split["train"] + split["val"]) == sorted(patients)


def test_patients_of_one_case_each_are_split_as_nnunet_does() -> None:
    assert make_splits(CASES, {case: f"patient of {case}" for case in CASES}) == make_splits(CASES)


def test_too_few_patients() -> None:
    with pytest.raises(DatasetError, match="4 patients cannot be split into 5 folds"):
        make_splits(CASES[:8], PATIENTS)


def test_the_split_that_nnunet_will_read_is_made_by_patients(dataset: RawDataset) -> None:
    write(dataset, PATIENTS)
    split = load_split(dataset, 0)
    assert not {PATIENTS[case] for case in split.train} & {PATIENTS[case] for case in split.val}
    assert split.val


def test_a_split_that_nnunet_made_before_is_refused(dataset: RawDataset) -> None:
    load_split(dataset, 0)
    write(dataset, PATIENTS)
    with pytest.raises(DatasetError, match="patients in training and validation of fold 0: p"):
        load_split(dataset, 0)


def test_a_held_out_patient_is_not_judged_by_who_has_seen_another_of_its_cases(dataset: RawDataset) -> None:
    write(dataset, PATIENTS)
    heldout = HeldOut(dataset, 0, masks=("c0",), others=("c4",), asked=1, unusable={})
    for seen, is_leak in (("c1", True), ("c8", False)):
        stages = provenance(dataset.name, [seen]).stages
        with pytest.raises(LeakageError, match=r"c1 \(same patient as c0\)") if is_leak else nullcontext():
            refuse_seen(heldout, stages, "the generator", dataset.folder)
