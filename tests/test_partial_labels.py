"""Cases that lack structures: declared, checked, and shown to the networks as unknown."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_config, tiny_dataset

from lldm_aug.data.partial import PARTIAL_FILE, read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import DatasetError, IncompatibleResume
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import read_label, write_nifti
from lldm_aug.synthesis.generation_plan import MaskRequest
from lldm_aug.training.autoencoder_stage import AutoencoderConfig, AutoencoderStage
from lldm_aug.training.losses import structure_weights
from lldm_aug.training.missing_texture import measure_cases
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, prepare_cases
from lldm_aug.volume import Volume


@pytest.fixture
def dataset(tmp_path: Path) -> RawDataset:
    """Six cases; the first of the fold has no tumours drawn in."""
    made = tiny_dataset(tmp_path)
    first = load_split(made, 0).train[0]
    label = read_label(made.label_path(first))
    write_nifti(made.label_path(first), Volume((label.data > 0).astype("int16"), label.grid))
    write_json(made.folder / PARTIAL_FILE, {first: ["hcc"]})
    return RawDataset(made.folder)


def test_without_the_file_all_is_annotated(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path)
    assert read_partial_labels(dataset) == {}
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    assert cases.fully_annotated().case_ids == cases.case_ids


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"case_99": ["hcc"]}', "no case 'case_99'"),
        ('{"case_00": ["hc"]}', "no structure 'hc'.*liver, hcc"),
        ('{"case_00": ["background"]}', "no structure 'background'"),
        ('{"case_00": "hcc"}', "not a mapping"),
        ('["case_00"]', "not a mapping"),
        ("{", "not valid JSON"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, content: str, message: str) -> None:
    dataset = tiny_dataset(tmp_path)
    (dataset.folder / PARTIAL_FILE).write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_partial_labels(dataset)


def test_a_structure_in_the_mask_cannot_be_missing(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path)
    write_json(dataset.folder / PARTIAL_FILE, {load_split(dataset, 0).train[0]: ["liver"]})
    with pytest.raises(DatasetError, match="'liver' is said not to be annotated, but the mask has it"):
        prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")


def test_networks_and_losses_see_it_as_unknown(dataset: RawDataset, tmp_path: Path) -> None:
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    partial, whole = cases.case_ids[:2]
    condition = cases.condition([partial, whole], torch.stack([cases.load_label(c) for c in (partial, whole)]))
    assert not condition[0, 1].any()
    assert condition[0, 0].abs().eq(1).all()
    assert condition[1].abs().eq(1).all()
    weights = structure_weights(condition, 0.5)
    assert weights[0].unique().numel() == 2  # of what is annotated: liver, and not liver
    assert weights[1].unique().numel() > 2


def test_a_stage_trains_on_it(dataset: RawDataset, tmp_path: Path) -> None:
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    stage = AutoencoderStage(cases, AutoencoderConfig.of(tiny_config(), "autoencoder"))
    loss, _ = stage.loss(stage.module, [Row(cases.case_ids[0], 0, 0)], torch.device("cpu"))
    assert torch.isfinite(loss)


def test_masks_are_drawn_from_complete_cases_alone(dataset: RawDataset, tmp_path: Path) -> None:
    split = load_split(dataset, 0)
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    assert MaskRequest("deformed", dataset, split).cases == cases.fully_annotated().case_ids == split.train[1:]


def test_a_later_declaration_is_other_data(dataset: RawDataset, tmp_path: Path) -> None:
    prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    (dataset.folder / PARTIAL_FILE).unlink()
    with pytest.raises(IncompatibleResume):
        prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")


def test_the_gates_ranges_are_of_complete_cases(dataset: RawDataset, tmp_path: Path) -> None:
    """Where tumours were not annotated they would count as liver."""
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    assert measure_cases(cases) == measure_cases(cases.fully_annotated())
    record = cases.record.model_copy(update={"unknown": dict.fromkeys(cases.case_ids, ("hcc",))})
    assert measure_cases(CaseSet(cases.folder, record)).cases == len(cases.case_ids)
