"""The segmenter: learns easy structures, is measured on cases it was not trained on, and is one checked folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pools import write_dataset
from tiny import segmenter_config

from lldm_aug.config.schema import SegmenterSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import CheckpointError, DatasetError
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import dice
from lldm_aug.models.segmenter import SegmentationNet, Segmenter, predict_labels, summarise_dice
from lldm_aug.stages.run import train
from lldm_aug.training.augment import augmented
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase, prepare_cases
from lldm_aug.training.segmenter_stage import segmentation_loss


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with nothing but a segmenter."""
    out = tmp_path_factory.mktemp("runs") / "x"
    train("segmenter", segmenter_config(), dataset, 0, out)
    return out


def cases_of(run: Path, dataset: RawDataset) -> CaseSet:
    return prepare_cases(dataset, 0, segmenter_config(), run / "cases")


def test_it_finds_easy_structures_in_cases_it_was_not_trained_on(run: Path) -> None:
    description = Segmenter.load(run / "segmenter" / "export").description
    assert description.heldout_dice["liver"].mean > 0.8
    assert description.heldout_dice["hcc"].mean > 0.4


def test_held_out_cases_are_measured_and_not_trained_on(run: Path, dataset: RawDataset) -> None:
    description = Segmenter.load(run / "segmenter" / "export").description
    training = load_split(dataset, 0).train
    assert description.heldout_cases == (min(training),)
    assert {score.cases for score in description.heldout_dice.values()} == {1}
    assert {*description.stages[0].cases} == {*training}  # it was chosen by them: a leak all the same


def test_loaded_segmenter_says_the_same_as_was_measured(run: Path, dataset: RawDataset) -> None:
    segmenter, cases = Segmenter.load(run / "segmenter" / "export"), cases_of(run, dataset)
    case = cases.load(segmenter.description.heldout_cases[0])
    found = segmenter.segment(case.image[None])
    assert found.dtype == torch.int16
    measured = dice(found[0].numpy(), case.label.numpy(), cases.schema)
    assert measured == {name: score.mean for name, score in segmenter.description.heldout_dice.items()}


def test_resume_goes_on_to_the_same_weights(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    config = segmenter_config(steps=6)
    whole = train("segmenter", config, dataset, 0, tmp_path / "a")
    other = tmp_path / "b"
    train("segmenter", config, dataset, 0, other)
    shutil.rmtree(other / "segmenter" / "export")
    shutil.rmtree(other / "segmenter" / "checkpoints" / "step_00000006")
    again = train("segmenter", config, dataset, 0, other)
    assert Segmenter.load(whole).hash == Segmenter.load(again).hash


def test_changed_file_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(run / "segmenter" / "export", folder)
    record = json.loads((folder / "config.json").read_text())
    record["heldout_dice"]["liver"]["low"] = 0.0
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="has changed"):
        Segmenter.load(folder)


def test_one_case_cannot_be_trained_on_and_measured(tmp_path: Path) -> None:
    dataset = RawDataset(write_dataset(tmp_path / "Dataset997_One", cases=1))
    with pytest.raises(DatasetError, match="two training cases"):
        train("segmenter", segmenter_config(), dataset, "all", tmp_path / "x")


@pytest.mark.parametrize("shape", [(16, 16, 12), (13, 9, 7)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_network_takes_any_shape(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    network = SegmentationNet(2, 3, spacing, SegmenterSettings(filters=8, blocks=(1, 1), norm_groups=4))
    assert network(torch.zeros(1, 2, *shape)).shape == (1, 4, *shape)


def test_windows_give_what_the_whole_gives_for_a_local_network() -> None:
    network = torch.nn.Conv3d(1, 3, 1)
    image = torch.randn(1, 1, 12, 12, 8, generator=torch.Generator().manual_seed(0))
    windows = predict_labels(network, image, (8, 8, 8))
    assert torch.equal(windows, predict_labels(network, image, None))


@pytest.mark.parametrize("patch", [(8, 8, 8), (16, 8, 8), (16, 16, 16)])
def test_no_window_is_larger_or_smaller_than_the_patches_of_the_training(patch: tuple[int, int, int]) -> None:
    seen = set()

    def network(image: torch.Tensor) -> torch.Tensor:
        seen.add(tuple(image.shape[2:]))
        return image

    predict_labels(network, torch.zeros(1, 2, 12, 12, 8), patch)
    assert seen == {tuple(min(p, n) for p, n in zip(patch, (12, 12, 8), strict=True))}


def dice_loss(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The part of the loss that is 1 - Dice."""
    schema = LabelSchema.from_dataset_json({"labels": {"background": 0, "liver": 1, "hcc": 2}})
    return segmentation_loss(logits, label, schema, 0)[1]["dice_loss"]


def test_dice_loss_is_zero_for_the_truth_and_one_for_its_opposite() -> None:
    label = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    label[:, 2:6] = 1
    truth = torch.nn.functional.one_hot(label, 3).movedim(-1, 1) * 40.0
    assert dice_loss(truth, label) == pytest.approx(0, abs=1e-4)  # the structure not shown does not count
    assert dice_loss(truth.roll(1, 1), label) > 0.99


def test_ignored_voxels_do_not_count() -> None:
    label = torch.ones(1, 4, 4, 4, dtype=torch.long)
    label[0, 0] = -1
    logits = torch.zeros(1, 3, 4, 4, 4)
    logits[:, 1] = 20
    before = dice_loss(logits, label)
    logits[:, 1, 0] = -20
    assert dice_loss(logits, label) == before


@pytest.mark.parametrize("patch", [None, (8, 8, 8)])
def test_augmented_views_are_repeatable_and_keep_image_and_label_together(patch: tuple[int, int, int] | None) -> None:
    settings = segmenter_config(patch=patch).train.segmenter
    label = torch.zeros(16, 12, 10, dtype=torch.int16)
    label[4:12, 3:9, 2:8] = 1
    case = PreparedCase(label[None].float(), label, torch.ones(16, 12, 10))
    views = [augmented(case.image, case.label, settings, 0, step, 0) for step in range(20)]
    again = [augmented(case.image, case.label, settings, 0, step, 0) for step in range(20)]
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(views, again, strict=True))
    assert len({tuple(image.flatten()[:5].tolist()) for image, _ in views}) > 10
    for image, found in views:
        assert image.shape[1:] == found.shape == (patch or (16, 12, 10))
        inside, outside = image[0][found == 1], image[0][found == 0]
        assert not (inside.numel() and outside.numel()) or inside.mean() > outside.mean() + 0.5


def test_summary_leaves_out_what_no_case_shows() -> None:
    scores = [{"liver": 0.8, "hcc": np.nan}, {"liver": 0.9, "hcc": np.nan}, {"liver": 1.0, "hcc": 0.5}]
    summary = summarise_dice(scores)
    assert summary["liver"].mean == pytest.approx(0.9)
    assert summary["liver"].low == pytest.approx(0.81)
    assert (summary["hcc"].mean, summary["hcc"].cases) == (0.5, 1)
    assert summarise_dice([{"liver": np.nan}]) == {}
