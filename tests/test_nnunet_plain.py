"""Models for machines without the plugin: the same predictions from nnU-Net's own trainer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nnunet_project import CONFIGURATION, NAME, Project, make, prepare

from lldm_aug.cli import main
from lldm_aug.doctor import discover_folder


@pytest.fixture
def model(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of one short epoch."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)
    shutil.rmtree(project.root / "nnUNet_results" / NAME, ignore_errors=True)
    prepare("700", project.pool, CONFIGURATION, fold=0, name="set")
    for name, value in {"EPOCHS": 1, "ITERATIONS": 2, "VAL_ITERATIONS": 1}.items():
        monkeypatch.setenv(f"LLDM_AUG_{name}", str(value))
    trainer = make()
    trainer.run_training()
    return Path(trainer.output_folder).parent


def predict(folder: Path, image: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of one image."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    volume, properties = predictor.plans_manager.image_reader_writer_class().read_images([str(image)])
    labels, probabilities = predictor.predict_single_npy_array(volume, properties, save_or_return_probabilities=True)
    return labels, probabilities


def export(model: Path, out: Path) -> tuple[int, str]:
    """Exit code and output of the command."""
    result = CliRunner().invoke(main, ["export", "nnunet-plain", str(model), "--out", str(out)])
    return result.exit_code, result.output


def test_the_stock_trainer_predicts_the_same(
    model: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the plugin on nnU-Net's search path; the original needs it."""
    code, output = export(model, tmp_path / "plain")
    assert code == 0, output
    plain = Path(output.strip())
    assert plain == tmp_path / "plain" / NAME / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    image = project.root / "nnUNet_raw" / NAME / "imagesTr" / "case_00_0000.nii.gz"
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    without = predict(plain, image)
    with pytest.raises(RuntimeError, match="nnUNetTrainerLLDMAug"):
        predict(model, image)
    monkeypatch.setenv("nnUNet_extTrainer", str(discover_folder()))
    for ours, theirs in zip(predict(model, image), without, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (plain / "fold_0" / "checkpoint_final.pth").is_file()
    assert "exists already" in export(model, tmp_path / "plain")[1]


def test_what_is_no_blended_model_is_refused(model: Path, tmp_path: Path) -> None:
    """Another folder, a stock model, a network that nnU-Net does not have."""
    assert "no trained model" in export(model.parent, tmp_path / "x")[1]
    stock = shutil.copytree(model, tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    assert "nothing has to be changed" in export(stock, tmp_path / "x")[1]
    plans = model / "plans.json"
    plans.write_text(
        plans.read_text().replace(
            "dynamic_network_architectures.architectures.unet", "lldm_aug.models.segmentation_networks"
        )
    )
    assert "needs this package" in export(model, tmp_path / "x")[1]
    assert not (tmp_path / "x").exists()
