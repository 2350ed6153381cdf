"""A tiny nnU-Net project: six real-looking blob cases, really planned and preprocessed once for all tests."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pools
import pytest

NAME = "Dataset700_Blobs"
CONFIGURATION = "3d_fullres"
os.environ.setdefault("nnUNet_def_n_proc", "1")  # nnU-Net reads it when it is imported: 8 processes by default


@dataclass(frozen=True)
class Project:
    """Where the tiny project is."""

    root: Path
    pool: Path

    @property
    def preprocessed(self) -> Path:
        return self.root / "nnUNet_preprocessed" / NAME

    @property
    def splits(self) -> list[dict[str, list[str]]]:
        return json.loads((self.preprocessed / "splits_final.json").read_text())


def prepare(dataset: str, pool: Path, configuration: str, num_processes: int = 1, **asked: Any) -> Path:
    """Prepares a pool as ``lldm-aug nnunet prepare`` does; the folder of the preprocessed cases."""
    from nnunet_integration.prepare import plan_preparation, run_preparation

    preparation = plan_preparation(dataset, pool, configuration, **asked)
    run_preparation(preparation, num_processes=num_processes)
    return preparation.prepared.data_folder


def cut(configuration: dict, features: int = 4) -> None:
    """Makes a configuration's network and patch tiny."""
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [min(features * 2**i, 8) for i in range(arguments["n_stages"])]
    arguments["n_conv_per_stage"] = [1] * arguments["n_stages"]
    arguments["n_conv_per_stage_decoder"] = [1] * (arguments["n_stages"] - 1)
    configuration["batch_size"] = 2


def variables(root: Path) -> dict[str, str]:
    """The environment of the project; no background workers, so that it is quick."""
    folders = {name: str(root / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    return {**folders, "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1", "nnUNet_compile": "0"}


@contextmanager
def at_work(root: Path, **more: str) -> Iterator[None]:
    """The environment of the project, for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables(root) | more).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Raw data, plans, preprocessed cases of 3d_fullres with a cut network, the split, and a pool."""
    root = tmp_path_factory.mktemp("nnunet")
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (root / name).mkdir()
    pools.write_dataset(root / "nnUNet_raw" / NAME, cases=6)
    pool = pools.write_pool(root / "pool", cases=5)
    with at_work(root, nnUNet_n_proc_DA="1"):  # planning takes no 0
        plan_and_preprocess(root)
    return Project(root, pool)


def plan_and_preprocess(root: Path) -> None:
    """What ``nnUNetv2_plan_and_preprocess -d 700 -c 3d_fullres`` does, with the network cut in between."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprints([700], num_processes=1, show_progress_bar=False, verbose=False)
    api.plan_experiments([700])
    path = root / "nnUNet_preprocessed" / NAME / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    cut(plans["configurations"][CONFIGURATION])
    path.write_text(json.dumps(plans))
    api.preprocess([700], configurations=[CONFIGURATION], num_processes=[1], show_progress_bar=False)


def preprocess(folder: Path, raw: Path, configuration: str) -> None:
    """What ``nnUNetv2_preprocess`` does for one configuration, without its processes."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, description = (
        PlansManager(str(folder / "nnUNetPlans.json")),
        json.loads((folder / "dataset.json").read_text()),
    )
    manager = plans.get_configuration(configuration)
    out = folder / manager.data_identifier
    out.mkdir(exist_ok=True)
    for label in sorted((raw / "labelsTr").iterdir()):
        name = label.name.removesuffix(".nii.gz")
        image = str(raw / "imagesTr" / f"{name}_0000.nii.gz")
        preprocessor = manager.preprocessor_class(verbose=False)
        preprocessor.run_case_save(str(out / name), [image], str(label), plans, manager, description)


@pytest.fixture
def project(planned: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with its environment set, and no settings of lldm_aug."""
    for name in [n for n in os.environ if n.startswith("LLDM_AUG_")]:
        monkeypatch.delenv(name)
    for name, value in variables(planned.root).items():
        monkeypatch.setenv(name, value)
    return planned


def make(
    fold: int | str = 0,
    configuration: str = CONFIGURATION,
    cls: type | None = None,
    initialize: bool = True,
    dataset: str = NAME,
    **plans: object,
):
    """A trainer as nnU-Net makes it, nnUNetTrainerLLDMAug by default; ``plans`` are further configurations."""
    import torch  # this module is loaded for every test

    from nnunet_integration.trainer import nnUNetTrainerLLDMAug

    folder = Path(os.environ["nnUNet_preprocessed"], dataset)
    content = {**json.loads((folder / "nnUNetPlans.json").read_text()), "continue_training": False}
    content["configurations"] = {**content["configurations"], **plans}
    description = json.loads((folder / "dataset.json").read_text())
    trainer = (cls or nnUNetTrainerLLDMAug)(content, configuration, fold, description, torch.device("cpu"))
    if initialize:
        trainer.initialize()
    return trainer


def record(trainer) -> dict:
    """The training's ``lldm_aug.json``."""
    return json.loads(Path(trainer.output_folder, "lldm_aug.json").read_text())


def keys(loader, batches: int) -> list[str]:
    """The keys of some batches."""
    return [key for _ in range(batches) for key in next(loader)["keys"]]
