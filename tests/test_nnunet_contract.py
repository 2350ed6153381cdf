"""What we rest on in nnU-Net: a new nnunetv2 fails here first, with a message that says what has changed."""

import inspect
import os
from pathlib import Path

import pytest
from batchgenerators.dataloading.data_loader import DataLoader
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import producer
from nnunetv2.inference.export_prediction import resample_and_save
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading import nnunet_dataset
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from lldm_aug.data.splits import make_splits
from lldm_aug.doctor import discover_folder
from nnunet_integration.loader import LOADER_NAME
from nnunet_integration.trainer import LLDMAugMixin


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_trainers_arguments_are_ours() -> None:
    assert parameters(nnUNetTrainer.__init__) == parameters(LLDMAugMixin.__init__), (
        "nnUNetTrainer.__init__ has other arguments; LLDMAugMixin.__init__ must repeat them exactly"
    )


def test_the_trainer_makes_its_loaders_from_a_global_name() -> None:
    assert nnUNetTrainer.get_dataloaders.__globals__.get(LOADER_NAME) is nnUNetDataLoader, (
        f"get_dataloaders no longer takes {LOADER_NAME} from its module: loader.blended_loader cannot replace it"
    )
    assert LOADER_NAME in nnUNetTrainer.get_dataloaders.__code__.co_names, f"get_dataloaders does not use {LOADER_NAME}"


@pytest.mark.parametrize(
    "method",
    [
        "get_tr_and_val_datasets",
        "get_dataloaders",
        "on_train_start",
        "on_train_epoch_start",
        "train_step",
        "on_train_epoch_end",
        "perform_actual_validation",
    ],
)
def test_the_methods_that_we_extend_take_what_they_took(method: str) -> None:
    ours = parameters(getattr(LLDMAugMixin, method))
    assert parameters(getattr(nnUNetTrainer, method)) == ours, f"nnUNetTrainer.{method} has other arguments"


def test_the_loader_chooses_cases_in_get_indices() -> None:
    assert issubclass(nnUNetDataLoader, DataLoader)
    assert "get_indices" not in vars(nnUNetDataLoader), "nnUNetDataLoader now has a get_indices of its own"
    assert "get_indices" in nnUNetDataLoader.generate_train_batch.__code__.co_names, "batches no longer use get_indices"
    assert "keys" in inspect.getsource(nnUNetDataLoader.generate_train_batch), "batches no longer tell their keys"


def test_the_loader_asks_a_data_set_for_nothing_else() -> None:
    source = inspect.getsource(nnUNetDataLoader.generate_train_batch)
    used = {part.split("(")[0].split(".")[0] for part in source.split("self._data.")[1:]}
    assert used == {"load_case"}, f"nnUNetDataLoader asks its data set for {used}: BlendedDataset must offer it"


def test_preprocessing_takes_what_we_give() -> None:
    expected = ["output_filename_truncated", "image_files", "seg_file", "plans_manager", "configuration_manager"]
    assert parameters(DefaultPreprocessor.run_case_save)[1:] == [*expected, "dataset_json"], "run_case_save has changed"


def test_segmentations_of_a_previous_stage_are_saved_as_we_ask() -> None:
    expected = ["predicted", "target_shape", "output_file", "plans_manager", "configuration_manager", "properties_dict"]
    found = parameters(resample_and_save)
    assert found == [*expected, "dataset_json_dict_or_file", "num_threads_torch", "dataset_class"], (
        "resample_and_save has changed"
    )


def test_workers_are_told_their_number() -> None:
    assert "set_thread_id" in producer.__code__.co_names, "workers no longer set thread_id: all draw the same"


def test_data_sets_take_what_we_give() -> None:
    expected = ["self", "folder", "identifiers", "folder_with_segs_from_previous_stage"]
    assert parameters(nnunet_dataset.nnUNetBaseDataset.__init__) == expected, "nnUNetBaseDataset.__init__ has changed"


def test_splits_are_nnunets(tmp_path: Path) -> None:
    ids = [f"case_{i:02d}" for i in range(13)]
    ours = make_splits(tuple(ids))
    theirs = generate_crossval_split(ids, seed=12345, n_splits=5)
    assert ours == [{k: [str(i) for i in v] for k, v in fold.items()} for fold in theirs], "nnU-Net splits otherwise"


def test_trainers_are_searched_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", os.pathsep.join(["/nowhere", str(discover_folder())]))
    found = recursive_find_trainer_class_by_name("nnUNetTrainerLLDMAug")
    assert found.__module__ == "nnunet_integration.trainer", "nnUNet_extTrainer is no longer searched as it was"
