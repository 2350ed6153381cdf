"""A share of labelled cases: nested, by patients, and all that a stage is shown of the others are their images."""

from itertools import pairwise
from pathlib import Path

import pytest
from tiny import tiny_config, tiny_dataset

from lldm_aug.baselines.gan import GanBaseline, GanConfig
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction, load_split
from lldm_aug.errors import IncompatibleResume
from lldm_aug.training.prepared_cases import prepare_cases
from lldm_aug.training.stage import HalfLabelledStage

IDS = tuple(f"case_{number:02d}" for number in range(48))


def label_fraction(value: float, seed: int = 0) -> tuple[str, ...]:
    return LabelFraction(fraction=value, seed=seed).labelled(IDS)


def test_shares_are_nested_and_as_large_as_they_say() -> None:
    label_fractions = [label_fraction(value) for value in (0.001, 0.1, 0.25, 0.5, 1)]
    assert [len(cases) for cases in label_fractions] == [1, 5, 12, 24, 48]
    assert all({*small} < {*large} for small, large in pairwise(label_fractions))


def test_the_seed_decides_which() -> None:
    assert label_fraction(0.1) == label_fraction(0.1) != label_fraction(0.1, seed=1)


def test_a_patient_is_labelled_whole() -> None:
    patients = {case: f"patient_{number // 4}" for number, case in enumerate(IDS)}
    chosen = LabelFraction(fraction=0.25).labelled(IDS, patients)
    assert len(chosen) == 12
    assert len({patients[case] for case in chosen}) == 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def test_cases_outside_of_the_share_are_left_out(dataset: RawDataset, tmp_path: Path) -> None:
    half = LabelFraction(fraction=0.5)
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path, half)
    assert cases.case_ids == half.labelled(load_split(dataset, 0).train)
    with pytest.raises(IncompatibleResume):
        prepare_cases(dataset, 0, tiny_config(), tmp_path)


def test_of_images_without_labels_nothing_but_the_image_is_prepared(dataset: RawDataset, tmp_path: Path) -> None:
    half, train = LabelFraction(fraction=0.5, images="fold"), load_split(dataset, 0).train
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path, half)
    assert cases.case_ids == train
    without = sorted({*train} - {*half.labelled(train)})
    assert without
    for case_id in without:
        case = cases.load(case_id)
        assert not case.label.any()
        assert case.image.std() > 0.1
        assert not cases.condition([case_id], case.label[None]).any()  # unknown, not absent
    seen = cases.provenance("autoencoder")
    assert (tuple(seen.cases), seen.unlabelled) == (train, tuple(without))
    assert cases.labelled().case_ids == tuple(seen.labelled) == half.labelled(train)


def test_half_of_what_a_baseline_learns_from_is_unlabelled(dataset: RawDataset, tmp_path: Path) -> None:
    config, half = tiny_config(), LabelFraction(fraction=0.5, images="fold")
    cases = prepare_cases(dataset, 0, config, tmp_path, half)
    stage = GanBaseline(cases, GanConfig.of(config, "baseline_gan"))
    assert isinstance(stage, HalfLabelledStage)
    assert stage.case_ids == half.labelled(load_split(dataset, 0).train)
    assert {*stage.case_ids, *stage.unlabelled_ids} == {*cases.case_ids}
    assert {*stage.case_ids}.isdisjoint(stage.unlabelled_ids)
    assert GanBaseline(cases.labelled(), stage.config).unlabelled_ids == ()
