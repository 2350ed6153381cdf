"""Every stock trainer with a blend: each is found by its name alone and loads blended batches."""

import importlib
import pickle
import pkgutil
import sys
from pathlib import Path

import pytest
import torch
from nnunet_project import CONFIGURATION, Project, at_work, keys, make, prepare, record
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from lldm_aug.doctor import discover_folder
from lldm_aug.errors import ConfigError
from nnunet_integration import variants
from nnunet_integration.loader import LOADER_NAME, is_synthetic
from nnunet_integration.trainer import nnUNetTrainerLLDMAug
from nnunet_integration.variants import blended

NOT_BLENDED = {
    "nnUNetTrainerBenchmark_5epochs_noDataLoading": "loads no data",
    "nnUNetTrainerBenchmark_5epochs": "asserts a CUDA GPU",
    "AbstractPrimus": "is abstract",
}
TRAINED = {
    "nnUNetTrainerDA5": "its own transforms",
    "nnUNetTrainerNoDeepSupervision": "one output",
    "nnUNetTrainerBN": "its own network",
    "nnUNetTrainerTopk10Loss": "its own loss",
    "nnUNetTrainerAdam": "its own optimiser",
    "nnUNetTrainer_probabilisticOversampling": "its own oversampling",
}


def stock_trainers() -> list[str]:
    """Names of all trainer classes that nnU-Net comes with."""
    found = {}
    folders = sys.modules["nnunetv2.training.nnUNetTrainer"].__path__
    for module in pkgutil.walk_packages(folders, "nnunetv2.training.nnUNetTrainer."):
        found.update(vars(importlib.import_module(module.name)))
    return sorted(name for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, nnUNetTrainer))


@pytest.fixture(scope="module")
def ready(planned: Project) -> Project:
    """The project with the pool prepared."""
    with at_work(planned.root):
        prepare("700", planned.pool, CONFIGURATION, fold=0, name="variants")
    return planned


@pytest.fixture
def quick(ready: Project, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with settings for a run of seconds."""
    settings = {"EPOCHS": 1, "ITERATIONS": 2, "VAL_ITERATIONS": 1, "SET": "variants"}
    for name, value in settings.items():
        monkeypatch.setenv(f"LLDM_AUG_{name}", str(value))
    monkeypatch.setenv("nnUNet_extTrainer", str(discover_folder()))
    return project


@pytest.mark.parametrize("name", [name for name in stock_trainers() if name not in NOT_BLENDED])
def test_a_stock_trainer_is_found_blended_and_loads_a_blend(quick: Project, name: str) -> None:
    cls = recursive_find_trainer_class_by_name(f"{name}LLDMAug")
    assert cls.__name__ == f"{name}LLDMAug"
    trainer = make(cls=cls, initialize=False)
    trainer._set_batch_size_and_oversample()  # all of initialize that the loaders need; big networks stay out
    training, validation = trainer.get_dataloaders()
    drawn = keys(training, max(1, 8 // trainer.batch_size))
    assert 0 < sum(map(is_synthetic, drawn)) < len(drawn)
    assert not any(map(is_synthetic, keys(validation, 1)))


@pytest.mark.parametrize("name", TRAINED)
def test_it_trains(quick: Project, name: str) -> None:
    trainer = make(cls=getattr(variants, f"{name}LLDMAug"))
    trainer.run_training()
    (epoch,) = record(trainer)["epochs"]
    assert epoch["synthetic"] == epoch["cases"] / 2
    checkpoint = torch.load(Path(trainer.output_folder, "checkpoint_final.pth"), weights_only=False)
    assert checkpoint["trainer_name"] == f"{name}LLDMAug"  # by which nnUNetv2_predict finds it again


def test_the_exceptions_are_still_needed() -> None:
    assert set(NOT_BLENDED) | set(TRAINED) <= set(stock_trainers())


def test_a_trainer_without_loaders_is_refused() -> None:
    with pytest.raises(ConfigError, match="makes no nnUNetDataLoader"):
        _ = variants.nnUNetTrainerBenchmark_5epochs_noDataLoadingLLDMAug


def test_a_class_that_is_no_trainer_or_blended_already_is_refused() -> None:
    with pytest.raises(ConfigError, match="dict cannot be blended: it is no nnUNetTrainer"):
        blended(dict)
    with pytest.raises(ConfigError, match="blended already"):
        blended(nnUNetTrainerLLDMAug)


def test_unknown_names_are_left_to_nnunet(quick: Project) -> None:
    assert not hasattr(variants, "nnUNetTrainerUnheardOfLLDMAug")
    assert not hasattr(variants, "nnUNetTrainerDA5")
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer nnUNetTrainerUnheardOfLLDMAug"):
        recursive_find_trainer_class_by_name("nnUNetTrainerUnheardOfLLDMAug")


def test_a_variant_is_one_class_and_pickles() -> None:
    cls = variants.nnUNetTrainerDA5LLDMAug
    assert pickle.loads(pickle.dumps(cls)) is cls is variants.nnUNetTrainerDA5LLDMAug


MINE = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class nnUNetTrainerMine(nnUNetTrainer):
    def get_dataloaders(self):
        self.called = True
        return super().get_dataloaders()
"""


def test_a_trainer_of_the_users_own_is_found_blended(
    quick: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setenv("nnUNet_extTrainer", f"{tmp_path}:{discover_folder()}")
    trainer = make(cls=recursive_find_trainer_class_by_name("nnUNetTrainerMineLLDMAug"))
    assert any(map(is_synthetic, keys(trainer.get_dataloaders()[0], 2)))
    assert trainer.called


def test_one_line_in_a_file_does_it_too(quick: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "from nnunet_integration.variants import blended\nnnUNetTrainerMineLLDMAug = blended(nnUNetTrainerMine)\n"
    (tmp_path / "mine.py").write_text(MINE + line)
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path))
    cls = recursive_find_trainer_class_by_name("nnUNetTrainerMineLLDMAug")
    assert (cls.__module__, cls.__name__) == ("mine", "nnUNetTrainerMineLLDMAug")
    assert any(map(is_synthetic, keys(make(cls=cls).get_dataloaders()[0], 2)))


def test_an_override_that_copies_nnunets_code_is_blended_where_it_stands(quick: Project) -> None:
    """A subclass in another module whose get_dataloaders names the loader itself, as copies of nnU-Net's code do."""
    source = "def get_dataloaders(self):\n    return nnUNetDataLoader, Original.get_dataloaders(self)[0]\n"
    names = {LOADER_NAME: nnUNetTrainer.get_dataloaders.__globals__[LOADER_NAME], "Original": nnUNetTrainer}
    exec(source, names)
    cls = blended(type("nnUNetTrainerCopy", (nnUNetTrainer,), {"get_dataloaders": names["get_dataloaders"]}), __name__)
    used, loader = make(cls=cls).get_dataloaders()
    assert used is not names[LOADER_NAME]
    assert any(map(is_synthetic, keys(loader, 2)))
