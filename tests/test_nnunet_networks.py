"""Networks besides nnU-Net's own: shapes, plans, and real trainings with prediction by sliding window."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nnunet_project import CONFIGURATION, NAME, Project, at_work, prepare

from lldm_aug.cli import main
from lldm_aug.doctor import discover_folder
from lldm_aug.errors import ConfigError, IncompatibleResume
from lldm_aug.models.segmentation_networks import AttentionUNet, MedNeXt, SegResNet, SingleOutput, UNetPlusPlus, VNet
from nnunet_integration.architectures import NETWORKS, add_networks
from nnunet_integration.target import Target
from nnunet_integration.trainer import nnUNetTrainerLLDMAug

WIDE = "3d_wide"


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (AttentionUNet, {"features_per_stage": (4, 8), "strides": [[1, 1], [1, 2]]}),
        (UNetPlusPlus, {"spatial_dims": 2, "features": (4, 4, 4, 4, 4, 4)}),
        (SegResNet, {"spatial_dims": 2, "init_filters": 8}),
        (VNet, {"spatial_dims": 2}),
        (MedNeXt, {"spatial_dims": 2, "init_filters": 8}),
    ],
)
def test_a_patch_of_any_sides_comes_out_as_it_went_in(network: type[SingleOutput], arguments: dict) -> None:
    """Also one that cannot be halved evenly; every input voxel counts."""
    patch = torch.randn(2, 2, 20, 26, requires_grad=True)
    out = network(2, 3, **arguments)(patch)
    assert out.shape == (2, 3, 20, 26)
    out.square().sum().backward()
    assert patch.grad is not None
    assert (patch.grad != 0).all()
    with pytest.raises(ConfigError, match="deep supervision"):
        network(2, 3, **arguments, deep_supervision=True)


@pytest.fixture(scope="module")
def wide(planned: Project) -> Iterator[Project]:
    """The project, with a configuration of eight features, as SegResNet needs, and a prepared pool."""
    path = planned.preprocessed / "nnUNetPlans.json"
    before = path.read_text()
    plans = json.loads(before)
    plans["configurations"][WIDE] = {"inherits_from": CONFIGURATION}
    architecture = json.loads(json.dumps(plans["configurations"][CONFIGURATION]["architecture"]))
    stages = architecture["arch_kwargs"]["n_stages"]
    architecture["arch_kwargs"]["features_per_stage"] = [8] * stages
    plans["configurations"][WIDE]["architecture"] = architecture
    path.write_text(json.dumps(plans))
    shutil.rmtree(planned.preprocessed / "lldm_aug", ignore_errors=True)
    with at_work(planned.root):
        prepare("700", planned.pool, CONFIGURATION, fold=0, name="set")
    yield planned
    path.write_text(before)


def configurations(project: Project) -> dict:
    """Of the plans on disk."""
    return json.loads((project.preprocessed / "nnUNetPlans.json").read_text())["configurations"]


def test_the_command_adds_configurations(wide: Project, project: Project) -> None:
    """Once; what was there stays."""
    before = configurations(project)
    result = CliRunner().invoke(main, ["nnunet", "networks", "-d", "700", "-c", WIDE])
    assert result.exit_code == 0, result.output
    assert result.output.split() == [f"{WIDE}_{name}" for name in NETWORKS]
    after = configurations(project)
    assert before.items() <= after.items()
    assert CliRunner().invoke(main, ["nnunet", "networks", "-d", "700", "-c", WIDE, "vnet"]).output == f"{WIDE}_vnet\n"
    assert configurations(project) == after


def test_what_does_not_fit_is_refused_and_nothing_written(wide: Project, project: Project) -> None:
    """Unknown names, data that a network cannot take, names that are taken."""
    before = configurations(project)
    with pytest.raises(ConfigError, match="no network 'unett'"):
        add_networks(Target.find("700", WIDE), ["attunet", "unett"])
    with pytest.raises(ConfigError, match="multiple of 8"):
        add_networks(Target.find("700", CONFIGURATION), ["segresnet"])
    with pytest.raises(ConfigError, match="no U-Net"):
        add_networks(Target.find("700", add_networks(Target.find("700", WIDE), ["vnet"])[0]), ["unet"])
    path = project.preprocessed / "nnUNetPlans.json"
    path.write_text(path.read_text().replace("networks.VNet", "networks.Other"))
    with pytest.raises(IncompatibleResume, match="another configuration 3d_wide_vnet"):
        add_networks(Target.find("700", WIDE), ["vnet"])
    plans = json.loads(path.read_text())
    path.write_text(json.dumps({**plans, "configurations": before}))


@pytest.mark.parametrize("name", [n if n == "attunet" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS])
def test_it_trains_validates_and_predicts(
    name: str, wide: Project, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trainer class for all, on batches of which half are synthetic; predictions have the image's shape."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    for variable, value in {"EPOCHS": 1, "ITERATIONS": 2, "VAL_ITERATIONS": 1}.items():
        monkeypatch.setenv(f"LLDM_AUG_{variable}", str(value))
    monkeypatch.setenv("nnUNet_extTrainer", str(discover_folder()))
    (configuration,) = add_networks(Target.find("700", WIDE), [name])
    folder = Path(os.environ["nnUNet_preprocessed"], NAME)
    plans = {**json.loads((folder / "nnUNetPlans.json").read_text()), "continue_training": False}
    description = json.loads((folder / "dataset.json").read_text())
    trainer = nnUNetTrainerLLDMAug(plans, configuration, 0, description, torch.device("cpu"))
    trainer.run_training()
    trainer.perform_actual_validation()
    results = Path(trainer.output_folder)
    (epoch,) = json.loads((results / "lldm_aug.json").read_text())["epochs"]
    assert epoch["synthetic"] == 2
    assert "foreground_mean" in json.loads((results / "validation" / "summary.json").read_text())

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(results.parent), (0,))
    image = project.root / "nnUNet_raw" / NAME / "imagesTr" / "case_00_0000.nii.gz"
    volume, properties = trainer.plans_manager.image_reader_writer_class().read_images([str(image)])
    predicted = predictor.predict_single_npy_array(volume, properties)
    assert predicted.shape == volume.shape[1:]
    assert set(np.unique(predicted)) <= {0, 1, 2}
