"""The roles of a data set's structures."""

from __future__ import annotations

from pathlib import Path

import pytest
from volumes import shared_data, write_dataset

from lldm_aug.anatomy.declaration import ANATOMY_FILE, EXAMPLE, NO_LESIONS, Anatomy, Lesion, find_anatomy, read_anatomy
from lldm_aug.anatomy.tumour_sizes import HCC_SIZES, TumourSizes
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, LabelError
from lldm_aug.labels import HBP

HEART = {"background": 0, "cavity": 1, "myocardium": 2, "infarct": 3, "no_reflow": 4}


def _heart(tmp_path: Path, text: str | None) -> RawDataset:
    folder = write_dataset(tmp_path / "Dataset711_Heart", ("a",), labels=HEART)
    if text is not None:
        (folder / ANATOMY_FILE).write_text(text, encoding="utf-8")
    return RawDataset(folder)


def test_the_example_is_a_heart(tmp_path: Path) -> None:
    anatomy = read_anatomy(_heart(tmp_path, EXAMPLE))
    assert anatomy.lesions == {"infarct": Lesion(within=("myocardium",), holds=("no_reflow",))}
    assert anatomy.lesion_free_hosts
    assert anatomy.editable == {"infarct", "no_reflow"}
    assert not Anatomy().lesion_free_hosts


def test_a_liver_needs_no_file(tmp_path: Path) -> None:
    anatomy = read_anatomy(RawDataset(write_dataset(tmp_path / "Dataset712_Liver", ("a",))))
    assert {*anatomy.lesions} == {"hcc"}
    assert anatomy.lesions["hcc"].within == ("liver",)
    assert anatomy.lesions["hcc"].sizes == HCC_SIZES
    assert anatomy.vessels == HBP.names[1:3]


def test_the_file_comes_before_the_names(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset712_Liver", ("a",))
    sizes = "{median_mm: 9, log_spread: 0.3, range_mm: [4, 20]}"
    (folder / ANATOMY_FILE).write_text(f"lesions:\n  hcc: {{within: [liver], sizes: {sizes}}}\n")
    anatomy = read_anatomy(RawDataset(folder))
    assert anatomy.lesions["hcc"].sizes == TumourSizes(9, 0.3, (4, 20))
    assert anatomy.vessels == ()


def test_without_a_file_other_structures_have_no_lesions(tmp_path: Path) -> None:
    dataset = _heart(tmp_path, None)
    assert find_anatomy(dataset) == NO_LESIONS
    with pytest.raises(LabelError, match=r"these have cavity.*anatomy\.yaml beside dataset\.json(.|\n)*holds: \[no_re"):
        read_anatomy(dataset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lesions:\n  infarct: {witin: [myocardium]}\n", r"yaml:2: unknown key 'lesions.infarct.witin'.*within"),
        ("lesion:\n  infarct: {within: [myocardium]}\n", r"yaml:1: unknown key 'lesion'.*The nearest is 'lesions'"),
        ("lesions:\n  infarct: {holds: [no_reflow]}\n", r"yaml:2: lesions.infarct.within: field required"),
        ("lesions:\n  infarct: {within: myocardium}\n", r"yaml:2: lesions.infarct.within: .*'myocardium'"),
        ("lesions:\n  infarct: {within: [cavity], shapes: [ball]}\n", r"yaml:2: lesions.infarct.shapes.*'ball'"),
        ("lesions:\n  infarct: {within: [cavity], sizes: {median_mm: -1}}\n", r"yaml:2: .*median_mm.*greater than 0"),
        (
            "lesions:\n  infarct: {within: [cavity], sizes: {median: 1}}\n",
            r"2: unknown key .*median'.*sizes.median_mm",
        ),
        ("lesions:\n  infarct: {within: [cavity], sizes: {range_mm: [9, 4]}}\n", r"smaller diameter of range_mm"),
        ("lesions: [infarct]\n", r"yaml:1: lesions: .*\['infarct'\]"),
        ("lesions:\n  a: 1\n  a: 2\n", r"yaml:3: duplicate key 'lesions.a'"),
        ("- infarct\n", r"anatomy\.yaml: .*"),
        ("\tlesions: 1\n", r"Indent with spaces"),
    ],
)
def test_a_faulty_file_is_one_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_anatomy(_heart(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"anatomy\.yaml: no lesion is named"),
        ("lesions: {}\n", r"anatomy\.yaml: no lesion is named"),
        ("lesions:\n  infarct: {within: []}\n", "infarct lies in no structure"),
        ("lesions:\n  infarct: {within: [cavity], shapes: []}\n", "infarct has no shapes"),
        ("lesions:\n  infarct: {within: [miocardium]}\n", "no structure 'miocardium'. The nearest is 'myocardium'"),
        (
            "lesions:\n  infarct: {within: [infarct]}\n",
            "infarct lies within infarct, which is another lesion",
        ),
        (
            "lesions:\n  infarct: {within: [cavity]}\nvessels: [cavity]\n",
            "infarct lies within cavity, which is a ves",
        ),
        ("lesions:\n  infarct: {within: [cavity], holds: [infarct]}\n", "infarct holds infarct, which is a lesion"),
        ("lesions:\n  infarct: {within: [cavity]}\nvessels: [infarct]\n", "infarct is a lesion and a vessel"),
    ],
)
def test_roles_that_make_no_sense_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=message):
        read_anatomy(_heart(tmp_path, text))


def test_the_roles_of_real_data_sets() -> None:
    assert {*read_anatomy(RawDataset(shared_data("Dataset802_IrcadCT"))).lesions} == {"tumour"}
    assert find_anatomy(RawDataset(shared_data("Dataset803_EmidecLGE"))) == NO_LESIONS
    assert find_anatomy(RawDataset(shared_data("Dataset804_Hippocampus"))) == NO_LESIONS
