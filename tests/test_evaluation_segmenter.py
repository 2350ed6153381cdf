"""Referees: a segmenter wherever it lies, on any grid; a model that nnU-Net trained; and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunet_project import CONFIGURATION, NAME, Project, at_work
from pools import DATASET_JSON, GRID, blob_case
from tiny import segmenter_config, tiny_dataset

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.resample import from_canonical
from lldm_aug.data.splits import load_split
from lldm_aug.errors import CheckpointError, DatasetError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import dice
from lldm_aug.stages.run import train
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter, load_segmenter

SCHEMA = LabelSchema.from_dataset_json(DATASET_JSON)
LPS = Grid(GRID.shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.affine)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a segmenter of blobs."""
    out = tmp_path_factory.mktemp("runs") / "x"
    train("segmenter", segmenter_config(steps=40), tiny_dataset(tmp_path_factory.mktemp("data")), 0, out)
    return out


def test_a_segmenter_is_found_wherever_it_may_lie(run: Path, tmp_path: Path) -> None:
    (tmp_path / "generator").mkdir()
    shutil.copytree(run / "segmenter" / "export", tmp_path / "generator" / "segmenter")
    folders = (run, run / "segmenter" / "export", run / "segmenter", tmp_path / "generator")
    assert len({load_segmenter(folder).hash for folder in folders}) == 1


def test_no_segmenter_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lldm-aug train segmenter"):
        load_segmenter(tmp_path)


def test_it_segments_images_of_another_orientation_alike(run: Path) -> None:
    segmenter = load_segmenter(run)
    image, label = blob_case(1, 3)
    found = segmenter.segment(image[None], GRID)
    assert found.dtype == np.int16
    assert dice(found, label, SCHEMA)["liver"] > 0.7
    turned = segmenter.segment(from_canonical(image, LPS)[None], LPS)
    assert np.array_equal(turned, from_canonical(found, LPS))


def test_it_segments_finer_and_larger_images(run: Path) -> None:
    image, label = blob_case(1, 3)
    finer = Grid.regular((64, 56, 48), (1.0, 1.0, 1.5))
    large, mask = (np.kron(volume, np.ones((2, 2, 2), volume.dtype)) for volume in (image, label))
    found = load_segmenter(run).segment(large[None], finer)
    assert dice(found, mask, SCHEMA)["liver"] > 0.7
    padded, around = np.pad(image, 8), np.pad(label, 8)  # beyond the segmenter's field of view
    found = load_segmenter(run).segment(padded[None], Grid.regular(padded.shape, GRID.spacing_mm))
    assert dice(found, around, SCHEMA)["liver"] > 0.5


def test_other_intensity_units_change_nothing(run: Path) -> None:
    image, _ = blob_case(1, 3)
    segmenter = load_segmenter(run)
    found = segmenter.segment(image[None], GRID)
    assert (segmenter.segment(7 * image[None], GRID) != found).mean() < 1e-3


@pytest.fixture(scope="module")
def model(planned: Project) -> Path:
    """Fold 0 of the tiny nnU-Net project, really trained for a moment and validated."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    with at_work(planned.root):
        plans = {**json.loads((planned.preprocessed / "nnUNetPlans.json").read_text()), "continue_training": False}
        description = json.loads((planned.preprocessed / "dataset.json").read_text())
        torch.manual_seed(0)
        trainer = nnUNetTrainer(plans, CONFIGURATION, 0, description, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 100, 1
        trainer.run_training()
        trainer.perform_actual_validation(save_probabilities=False)
        return Path(trainer.output_folder).parent


@pytest.fixture
def judge(model: Path, project: Project) -> EvaluationSegmenter:
    return load_segmenter(model)


@pytest.mark.slow
def test_an_nnunet_model_is_a_segmenter(judge: EvaluationSegmenter, model: Path, project: Project) -> None:
    dataset = RawDataset(project.root / "nnUNet_raw" / NAME)
    held_out = load_split(dataset, 0).val[0]
    case = dataset.load(held_out)
    found = judge.segment(case.image, case.grid)
    scores = dice(found, case.label, judge.schema)
    assert judge.schema == dataset.schema
    assert scores["liver"] > 0.5
    known = json.loads((model / "fold_0" / "validation" / "summary.json").read_text())["metric_per_case"]
    by_nnunet = next(c["metrics"]["1"]["Dice"] for c in known if held_out in c["reference_file"])
    assert scores["liver"] == pytest.approx(by_nnunet, abs=0.1)  # that one is mirrored too
    assert judge.heldout_dice["liver"].cases == len(load_split(dataset, 0).val)


@pytest.mark.slow
def test_an_nnunet_model_names_the_cases_of_its_fold(judge: EvaluationSegmenter, project: Project) -> None:
    (stage,) = judge.stages
    assert {*stage.cases} == {*project.splits[0]["train"]}
    assert (stage.dataset, stage.fold) == (NAME, 0)


@pytest.mark.slow
def test_an_unfinished_or_unknown_model_is_refused(
    model: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "m")
    shutil.copytree(model / "fold_0", tmp_path / "m" / "fold_1")
    with pytest.raises(CheckpointError, match="holds fold_0, fold_1"):
        load_segmenter(tmp_path / "m")
    assert load_segmenter(tmp_path / "m" / "fold_0").hash == load_segmenter(model).hash
    (tmp_path / "m" / "fold_0" / "validation" / "summary.json").unlink()
    with pytest.raises(CheckpointError, match="no validation scores"):
        load_segmenter(tmp_path / "m" / "fold_0")
    for fold in ("fold_0", "fold_1"):
        (tmp_path / "m" / fold / "checkpoint_final.pth").unlink()
    with pytest.raises(CheckpointError, match=r"no fold with a checkpoint_final\.pth"):
        load_segmenter(tmp_path / "m")
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    with pytest.raises(DatasetError, match="not known which cases"):
        load_segmenter(model)
