"""Training with real nnU-Net on a CPU: the share, real validation, the guard, the record, going on."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pools
import pytest
from nnunet_project import CONFIGURATION, NAME, Project, at_work, keys, make, prepare, record

from lldm_aug.errors import ConfigError, DatasetError, IncompatibleResume, LeakageError, PoolError
from nnunet_integration.loader import is_synthetic
from nnunet_integration.target import Target
from nnunet_integration.training_record import stamp_scores


@pytest.fixture(scope="module")
def ready(planned: Project) -> Project:
    """The project with the pool prepared for folds 0 and all."""
    shutil.rmtree(planned.preprocessed / "lldm_aug", ignore_errors=True)
    with at_work(planned.root):
        for fold in (0, "all"):
            prepare("700", planned.pool, CONFIGURATION, fold=fold, name="set")
    return planned


@pytest.fixture
def trained(ready: Project, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with settings for a run of seconds, and no results."""
    shutil.rmtree(project.root / "nnUNet_results")
    for folder in project.preprocessed.glob("lldm_aug/*/fold_*"):  # what an earlier test made
        if folder.relative_to(project.preprocessed / "lldm_aug").as_posix() not in ("set/fold_0", "set/fold_all"):
            shutil.rmtree(folder)
    (project.root / "nnUNet_results").mkdir()
    for name, value in {"EPOCHS": 1, "ITERATIONS": 4, "VAL_ITERATIONS": 1}.items():
        monkeypatch.setenv(f"LLDM_AUG_{name}", str(value))
    return project


def inherited(**settings: object) -> dict:
    return {"inherits_from": CONFIGURATION, "lldm_aug": settings}


def test_trains_and_records_what_it_drew(trained: Project) -> None:
    trainer = make()
    trainer.run_training()
    assert Path(trainer.output_folder, "checkpoint_final.pth").is_file()
    (epoch,) = record(trainer)["epochs"]
    assert (epoch["epoch"], epoch["cases"], epoch["synthetic"]) == (0, 8, 4)  # batches of 2 at ratio 0.5
    assert record(trainer)["set_name"] == "set"


def test_the_share_is_exact_and_validation_real(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_RATIO", "0.25")
    training, validation = make().get_dataloaders()
    drawn = keys(training, 60)
    assert sum(map(is_synthetic, drawn)) / len(drawn) == pytest.approx(0.25, abs=0.12)
    assert {key for key in drawn if is_synthetic(key)} == {f"lldm_aug/syn_{i:04d}" for i in range(5)}
    assert set(keys(validation, 10)) <= set(trained.splits[0]["val"])


def test_the_forced_foreground_slot_is_no_more_synthetic_than_others(trained: Project) -> None:
    training, _ = make().get_dataloaders()
    slots = [[is_synthetic(key) for key in next(training)["keys"]] for _ in range(40)]
    assert all(sum(slot) == 1 for slot in slots)
    assert 8 <= sum(slot[0] for slot in slots) <= 32


def test_one_seed_one_choice_of_cases(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = keys(make().get_dataloaders()[0], 6), keys(make().get_dataloaders()[0], 6)
    monkeypatch.setenv("LLDM_AUG_SEED", "1")
    assert first == again != keys(make().get_dataloaders()[0], 6)


def test_a_spawned_worker_can_have_the_loader(trained: Project) -> None:
    loader = make().get_dataloaders()[0].data_loader
    copies = []
    for thread in (0, 1):
        copies.append(pickle.loads(pickle.dumps(loader)))
        copies[-1].set_thread_id(thread)
    assert loader.get_indices() == copies[0].get_indices()
    assert [copies[0].get_indices() for _ in range(6)] != [copies[1].get_indices() for _ in range(6)]


def test_ratio_zero_is_stock_and_needs_no_set(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_RATIO", "0")
    monkeypatch.setenv("LLDM_AUG_SET", "absent")
    training, _ = make().get_dataloaders()
    assert set(keys(training, 5)) <= set(trained.splits[0]["train"])


def test_settings_in_the_plans_have_their_own_results(trained: Project) -> None:
    trainer = make(configuration="half", half=inherited(ratio=1.0, seed=3))
    assert trainer.output_folder.endswith("nnUNetTrainerLLDMAug__nnUNetPlans__half/fold_0")
    assert all(map(is_synthetic, keys(trainer.get_dataloaders()[0], 3)))


def test_the_environment_wins_over_the_plans(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_RATIO", "0")
    trainer = make(configuration="half", half=inherited(ratio=1.0, num_epochs=7))
    assert trainer.blend_settings.ratio == 0
    assert trainer.num_epochs == 1


def test_bad_settings_are_refused_at_once(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"configuration half, lldm_aug\.rato"):
        make(configuration="half", half=inherited(rato=0.5))
    with pytest.raises(ConfigError, match="'cosine 1 0' is no ratio"):
        make(configuration="half", half=inherited(ratio="cosine 1 0"))
    monkeypatch.setenv("LLDM_AUG_RATIO", "1.5")
    with pytest.raises(ConfigError, match="environment variable LLDM_AUG_RATIO"):
        make()


def test_without_settings_nnunets_own_lengths_hold(ready: Project, project: Project) -> None:
    trainer = make()
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (
        1000,
        250,
        50,
    )


def test_a_leaking_set_is_refused_or_stamped(trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = pools.provenance(NAME, trained.splits[0]["val"])
    pool = pools.write_pool(tmp_path / "leaky", cases=1, generator=generator)
    with pytest.warns(UserWarning, match="LEAKAGE"):
        prepare("700", pool, CONFIGURATION, fold=0, name="leaky", allow_leakage=True)
    monkeypatch.setenv("LLDM_AUG_SET", "leaky")
    with pytest.raises(LeakageError, match="autoencoder saw"):
        make().get_dataloaders()
    monkeypatch.setenv("LLDM_AUG_ALLOW_LEAKAGE", "1")
    trainer = make()
    with pytest.warns(UserWarning, match="LEAKAGE"):
        trainer.on_train_start()
    assert "autoencoder saw" in record(trainer)["leaks"][0]
    summary = Path(trainer.output_folder, "validation", "summary.json")
    summary.parent.mkdir()
    summary.write_text('{"foreground_mean": {"Dice": NaN}}')
    stamp_scores(Path(trainer.output_folder), record(trainer)["leaks"])
    assert "autoencoder saw" in json.loads(summary.read_text())["LEAKAGE ALLOWED"][0]


def test_the_guard_looks_at_the_cases_that_nnunet_validates_on(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fold 7 of 5 is a random split that stands in no file."""
    shutil.copytree(trained.preprocessed / "lldm_aug/set/fold_0", trained.preprocessed / "lldm_aug/set/fold_7")
    path = trained.preprocessed / "lldm_aug/set/fold_7/nnUNetPlans_3d_fullres.json"
    held_out = make(7).do_split()[1]
    info = json.loads(path.read_text())
    info["generator"] = json.loads(pools.provenance(NAME, held_out[:1]).model_dump_json())
    path.write_text(json.dumps(info))
    with pytest.raises(LeakageError, match=held_out[0]):
        make(7).get_dataloaders()


@pytest.fixture
def one_patient(trained: Project) -> Iterator[tuple[str, str]]:
    """A training and a validation case of one patient."""
    split = trained.splits[0]
    same = (split["train"][0], split["val"][0])
    path = trained.root / "nnUNet_raw" / NAME / "patients.json"
    path.write_text(json.dumps({case: "one" if case in same else case for case in split["train"] + split["val"]}))
    yield same
    path.unlink()


def test_a_patient_in_training_and_validation_is_refused(one_patient: tuple[str, str]) -> None:
    with pytest.raises(LeakageError, match=rf"training saw {one_patient[0]} \(same patient as {one_patient[1]}\)"):
        make().get_dataloaders()


def test_a_generator_that_saw_the_patient_of_a_validation_case_is_refused(
    trained: Project, one_patient: tuple[str, str], tmp_path: Path
) -> None:
    pool = pools.write_pool(tmp_path / "kin", cases=1, generator=pools.provenance(NAME, one_patient[:1]))
    with pytest.raises(LeakageError, match=rf"diffusion saw {one_patient[0]} \(same patient as {one_patient[1]}\)"):
        prepare("700", pool, CONFIGURATION, fold=0, name="kin")


def test_patients_are_known_where_there_are_no_raw_data(
    trained: Project, one_patient: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools.write_pool(tmp_path / "kin", cases=1)
    with pytest.warns(UserWarning, match="LEAKAGE"):
        prepare("700", pool, CONFIGURATION, fold=0, name="kin", allow_leakage=True)
    monkeypatch.delenv("nnUNet_raw")
    try:
        assert one_patient[0] in Target.find("700", CONFIGURATION).patients()
    finally:
        (trained.preprocessed / "patients.json").unlink()


def test_fold_all_trains_with_any_generator(trained: Project) -> None:
    assert any(map(is_synthetic, keys(make("all").get_dataloaders()[0], 2)))


def test_no_set_for_the_fold_says_how_to_make_one(trained: Project) -> None:
    with pytest.raises(DatasetError, match="lldm-aug nnunet prepare -d 700 -c 3d_fullres --fold 3"):
        make(3).get_dataloaders()


def test_a_set_with_missing_files_is_refused(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = trained.preprocessed / "lldm_aug"
    shutil.copytree(sets / "set", sets / "torn")
    (sets / "torn/fold_0/nnUNetPlans_3d_fullres/syn_0001_seg.b2nd").unlink()
    monkeypatch.setenv("LLDM_AUG_SET", "torn")
    with pytest.raises(PoolError, match="syn_0001"):
        make().get_dataloaders()


def test_a_cascade_without_previous_segmentations_is_refused_early(trained: Project) -> None:
    cascade = {**inherited(), "previous_stage": CONFIGURATION}
    with pytest.raises(DatasetError, match="lack segmentations of the previous stage"):
        make(configuration="cascade", cascade=cascade).get_dataloaders()


@pytest.fixture
def one_epoch(trained: Project) -> Path:
    """A training of one epoch."""
    trainer = make()
    trainer.run_training()
    return Path(trainer.output_folder)


def go_on(folder: Path):
    trainer = make()
    trainer.load_checkpoint(str(folder / "checkpoint_final.pth"))
    trainer.run_training()
    return trainer


def test_going_on_adds_to_the_record(one_epoch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "2")
    assert [epoch["epoch"] for epoch in record(go_on(one_epoch))["epochs"]] == [0, 1]


@pytest.mark.parametrize(("variable", "value"), [("LLDM_AUG_RATIO", "0.25"), ("LLDM_AUG_SEED", "5")])
def test_going_on_with_another_blend_is_refused(
    one_epoch: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "2")
    monkeypatch.setenv(variable, value)
    with pytest.raises(IncompatibleResume, match="the blend: was begun with other settings"):
        go_on(one_epoch)


def test_a_schedule_is_followed_and_recorded(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "3")
    monkeypatch.setenv("LLDM_AUG_RATIO", "linear 1 0")
    trainer = make()
    trainer.run_training()
    assert record(trainer)["ratio"] == "linear 1 0 3"
    drawn = [(epoch["ratio"], epoch["cases"], epoch["synthetic"]) for epoch in record(trainer)["epochs"]]
    assert drawn == [(1.0, 8, 8), (0.5, 8, 4), (0.0, 8, 0)]  # batches of 2


def test_pretraining_on_synthetic_cases_goes_on_with_real_ones(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLDM_AUG_RATIO", "pretrain 1")
    trainer = make()
    trainer.run_training()
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "2")
    assert [epoch["synthetic"] for epoch in record(go_on(Path(trainer.output_folder)))["epochs"]] == [8, 0]


def test_running_workers_follow_the_epoch(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    monkeypatch.setenv("LLDM_AUG_RATIO", "pretrain 1")
    trainer = make()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    try:
        assert all(map(is_synthetic, keys(trainer.dataloader_train, 2)))
        trainer.current_epoch = 1
        trainer.on_train_epoch_start()
        keys(trainer.dataloader_train, 20)  # what was queued
        assert not any(map(is_synthetic, keys(trainer.dataloader_train, 5)))
    finally:
        trainer.dataloader_train._finish()
        trainer.dataloader_val._finish()


ENTRIES = {
    "nnUNetv2_train": ("run.run_training", "run_training_entry"),
    "nnUNetv2_predict": ("inference.predict_from_raw_data", "predict_entry_point"),
}
SCRIPT = """
import sys
sys.path.insert(0, {hook!r})
import _lldm_aug_nnunet
_lldm_aug_nnunet.register()
if __name__ == "__main__":
    from nnunetv2.{module} import {function} as main
    main()
"""


def nnunet(project: Project, *command: object, workers: str = "0", **variables: str) -> str:
    """Runs one of nnU-Net's commands as a user would, with the start-up hook as the only help."""
    root = Path(__file__).resolve().parents[1]
    module, function = ENTRIES[str(command[0])]
    script = project.root / "command.py"
    script.write_text(SCRIPT.format(hook=str(root / "startup_hook"), module=module, function=function))
    environment = {**os.environ, "PYTHONPATH": str(root), "nnUNet_n_proc_DA": workers, **variables}
    environment.pop("nnUNet_extTrainer", None)
    run = [sys.executable, str(script), *map(str, command[1:])]
    result = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=500)
    return result.stdout + result.stderr


@pytest.mark.slow
def test_the_commands_train_validate_go_on_and_predict(trained: Project, tmp_path: Path) -> None:
    train = ("nnUNetv2_train", "700", CONFIGURATION, "0", "-tr", "nnUNetTrainerLLDMAug", "-device", "cpu")
    assert "Mean Validation Dice" in nnunet(trained, *train, workers="2")
    folder = trained.root / "nnUNet_results" / NAME / "nnUNetTrainerLLDMAug__nnUNetPlans__3d_fullres"
    assert len(list((folder / "fold_0/validation").glob("*.nii.gz"))) == len(trained.splits[0]["val"])
    hidden = trained.preprocessed / "hidden"
    (trained.preprocessed / "lldm_aug").rename(hidden)
    try:
        assert "Mean Validation Dice" in nnunet(trained, *train, "--val")
        assert "no pool is prepared" in nnunet(trained, *train)
    finally:
        hidden.rename(trained.preprocessed / "lldm_aug")
    assert "Epoch 1" in nnunet(trained, *train, "--c", LLDM_AUG_EPOCHS="2")
    images = trained.root / "nnUNet_raw" / NAME / "imagesTr"
    shutil.copy(images / "case_00_0000.nii.gz", tmp_path)
    out = tmp_path / "out"
    arguments = ("-d", "700", "-c", CONFIGURATION, "-f", "0", "-tr", "nnUNetTrainerLLDMAug", "-device", "cpu")
    nnunet(
        trained, "nnUNetv2_predict", "-i", tmp_path, "-o", out, *arguments, "-npp", "1", "-nps", "1", "--disable_tta"
    )
    assert (out / "case_00.nii.gz").is_file()


@pytest.mark.slow
def test_the_commands_find_a_blended_variant_by_its_name(trained: Project, tmp_path: Path) -> None:
    name = "nnUNetTrainerNoMirroringLLDMAug"
    train = ("nnUNetv2_train", "700", CONFIGURATION, "all", "-tr", name, "-device", "cpu")
    log = nnunet(trained, *train, workers="2")
    assert "Mean Validation Dice" in log, log
    shutil.copy(trained.root / "nnUNet_raw" / NAME / "imagesTr" / "case_00_0000.nii.gz", tmp_path)
    out = tmp_path / "out"
    arguments = ("-d", "700", "-c", CONFIGURATION, "-f", "all", "-tr", name, "-device", "cpu", "-npp", "1", "-nps", "1")
    nnunet(trained, "nnUNetv2_predict", "-i", tmp_path, "-o", out, *arguments)
    assert (out / "case_00.nii.gz").is_file()
