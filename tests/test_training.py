"""The three stages on real files: they train, resume bit for bit, and refuse what does not fit."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pools import write_dataset
from tiny import copy_without, tiny_config, tiny_generator
from trainings import TWO_PROCESSES, assert_equal_weights, command, weights

from lldm_aug.config.load import resolved_yaml
from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import CheckpointError, ConfigError, DatasetError, FolderInUse, IncompatibleResume, LldmAugError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.lock import locked
from lldm_aug.io.nifti import read_label, write_nifti
from lldm_aug.models.generator import Generator
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.prepared_cases import prepare_cases
from lldm_aug.volume import Volume


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return tiny_generator(dataset, tmp_path_factory.mktemp("runs") / "x")


def test_generator_names_all_that_each_stage_saw(run: Path, dataset: RawDataset) -> None:
    stages = Generator.load(run / "generator").description.stages
    assert tuple(s.stage for s in stages) == GENERATOR_STAGES
    expected = {c: dataset.label_hash(c) for c in load_split(dataset, 0).train}
    assert all(s.cases == expected and s.fold == 0 for s in stages)


def test_every_stage_leaves_statistics_a_picture_and_its_settings(run: Path) -> None:
    for name in GENERATOR_STAGES:
        lines = [json.loads(line) for line in (run / name / "stats.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert (run / name / "samples" / "step_00000006.png").stat().st_size > 1000
        assert json.loads((run / name / "run.json").read_text())["config"]["seed"] == 0


def test_only_training_cases_are_read(run: Path, dataset: RawDataset) -> None:
    prepared = {p.stem for p in (run / "cases").glob("*.safetensors")}
    assert prepared == set(load_split(dataset, 0).train)


@pytest.mark.parametrize("stage", ["autoencoder", "controlnet"])
def test_resume_is_bit_identical(run: Path, dataset: RawDataset, tmp_path: Path, stage: str) -> None:
    results = f"{stage}/export" if stage == "autoencoder" else "generator"
    again = copy_without(run, tmp_path / "x", results, f"{stage}/checkpoints/step_00000006")
    train(stage, tiny_config(), dataset, 0, again)
    assert_equal_weights(run / results, again / results)
    assert len((again / stage / "stats.jsonl").read_text().splitlines()) == 6


def test_damaged_newest_checkpoint_is_passed_over(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    again = copy_without(run, tmp_path / "x", "autoencoder/export")
    (again / "autoencoder" / "checkpoints" / "step_00000006" / "model.safetensors").write_bytes(b"")
    train("autoencoder", tiny_config(), dataset, 0, again)
    assert_equal_weights(run / "autoencoder" / "export", again / "autoencoder" / "export")


def test_accumulation_does_not_change_the_result(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    train("autoencoder", tiny_config(accumulate=2), dataset, 0, tmp_path / "x")
    first, second = weights(run / "autoencoder" / "export"), weights(tmp_path / "x" / "autoencoder" / "export")
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("stage", ["autoencoder", "controlnet"])
def test_finished_stage_is_left_alone(run: Path, dataset: RawDataset, stage: str) -> None:
    result = train(stage, tiny_config(), dataset, 0, run)
    before = (result / "SHA256SUMS").stat().st_mtime_ns
    assert train(stage, tiny_config(), dataset, 0, run) == result
    assert (result / "SHA256SUMS").stat().st_mtime_ns == before


def test_two_trainings_of_one_stage_are_refused(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    with locked(tmp_path / "autoencoder"), pytest.raises(FolderInUse, match="is at work in it"):
        train("autoencoder", tiny_config(), dataset, 0, tmp_path)
    assert not (tmp_path / "autoencoder" / "run.json").exists()
    with locked(run / "controlnet"):  # another stage may be trained beside it
        train("autoencoder", tiny_config(), dataset, 0, run)


def test_other_settings_are_refused_by_name(run: Path, dataset: RawDataset) -> None:
    with pytest.raises(IncompatibleResume, match="learning_rate"):
        train("autoencoder", tiny_config(learning_rate=0.1), dataset, 0, run)


def test_settings_that_got_nowhere_can_be_corrected(dataset: RawDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple"):
        train("autoencoder", tiny_config(steps=1, accumulate=3), dataset, 0, tmp_path)
    assert train("autoencoder", tiny_config(steps=1), dataset, 0, tmp_path).is_dir()


def test_a_split_in_any_order_prepares_the_same_cases(
    run: Path, dataset: RawDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load_split(dataset, 0)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    write_json(tmp_path / dataset.name / "splits_final.json", [{"train": split.train[::-1], "val": split.val}])
    prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")
    assert_equal_weights(run / "cases", tmp_path / "cases")


def test_a_fold_without_training_cases_is_refused(
    dataset: RawDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    write_json(tmp_path / dataset.name / "splits_final.json", [{"train": [], "val": list(dataset.case_ids)}])
    with pytest.raises(DatasetError, match="no training cases"):
        prepare_cases(dataset, 0, tiny_config(), tmp_path / "cases")


def test_patch_must_suit_the_compression(dataset: RawDataset, tmp_path: Path) -> None:
    config = tiny_config(steps=1).model_dump(mode="json")
    config["train"]["autoencoder"]["patch"] = [10, 8, 8]
    with pytest.raises(ConfigError, match=r"patch.*multiple of \(4, 4, 2\)"):
        train("autoencoder", Config.model_validate(config), dataset, 0, tmp_path)


def test_a_deeper_denoiser_than_the_grid_allows_is_refused_in_its_own_stage(run: Path, dataset: RawDataset) -> None:
    config = tiny_config().model_dump(mode="json")
    config["denoiser"] |= {"channels": [16] * 4, "attention": [False] * 4}
    with pytest.raises(ConfigError, match="multiple of"):
        train("diffusion", Config.model_validate(config), dataset, 0, run)


@pytest.mark.parametrize("name", ["cases/cases.json", "latents/latents.json", "diffusion/run.json"])
def test_damaged_records_are_named(run: Path, dataset: RawDataset, tmp_path: Path, name: str) -> None:
    again = copy_without(run, tmp_path / "x", "diffusion/export")
    (again / name).write_bytes(b"{}")
    with pytest.raises(LldmAugError, match=Path(name).name):
        train("diffusion", tiny_config(), dataset, 0, again)


@pytest.mark.parametrize(("tracker", "message"), [("nonsense", "Unsupported"), ("swanlab", "installed")])
def test_trackers_that_are_not_there_are_refused(
    dataset: RawDataset, tmp_path: Path, tracker: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train("autoencoder", tiny_config(), dataset, 0, tmp_path, log_with=[tracker])


def test_more_labels_than_a_byte_holds_are_kept(tmp_path: Path) -> None:
    labels = {"background": 0, **{f"part_{i}": i for i in range(1, 301)}}
    dataset = RawDataset(write_dataset(tmp_path / "Dataset996_Parts", cases=5, labels=labels))
    path = dataset.label_path("case_00")
    label = read_label(path)
    write_nifti(path, Volume(np.where(label.data == 2, 300, label.data).astype(np.int16), label.grid))
    cases = prepare_cases(dataset, "all", tiny_config(), tmp_path / "cases")
    assert cases.load("case_00").label.unique().tolist() == [0, 1, 300]
    assert torch.equal(cases.load_label("case_00"), cases.load("case_00").label)


def test_another_fold_is_refused(run: Path, dataset: RawDataset) -> None:
    with pytest.raises(IncompatibleResume, match="fold"):
        train("autoencoder", tiny_config(), dataset, 1, run)


def test_stages_come_in_order(dataset: RawDataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train autoencoder"):
        train("diffusion", tiny_config(), dataset, 0, tmp_path)


def test_batch_must_be_shared_evenly(dataset: RawDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple"):
        train("autoencoder", tiny_config(accumulate=3), dataset, 0, tmp_path)


def test_cached_latents_are_normalised(run: Path) -> None:
    facts = json.loads((run / "latents" / "latents.json").read_text())
    cache = LatentCache(run / "latents", tuple(facts["mean"]), tuple(facts["std"]))
    ids = [p.stem for p in (run / "latents").glob("*.safetensors")]
    draws = torch.stack([cache.draw(i, torch.Generator().manual_seed(k)) for i in ids for k in range(20)])
    assert draws.mean(dim=(0, 2, 3, 4)).abs().max() < 0.05
    assert (draws.std(dim=(0, 2, 3, 4)) - 1).abs().max() < 0.05


# Accelerate's --cpu starts one process; torchrun behind --multi_gpu starts two, on CPUs if the variable says so.


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    config, out = tmp_path / "c.yaml", tmp_path / "x"
    config.write_text(resolved_yaml(tiny_config(steps=120, checkpoint_every=1000, log_every=1)))
    process = subprocess.Popen(command(dataset, out, config), stderr=subprocess.PIPE, text=True)
    stats = out / "autoencoder" / "stats.jsonl"
    for _ in range(600):
        if stats.exists() and len(stats.read_text().splitlines()) >= 3:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "run the same command again" in message.lower()
    steps = [p.name for p in (out / "autoencoder" / "checkpoints").iterdir()]
    assert len(steps) == 1
    assert steps[0] != "step_00000120"
    done = subprocess.run(command(dataset, out, config), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["step"] for line in stats.read_text().splitlines()] == list(range(1, 121))


@pytest.mark.slow
def test_two_processes_train_the_same_network_as_one(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(resolved_yaml(tiny_config()))
    line = command(dataset, tmp_path / "x", config, *TWO_PROCESSES)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "x" / "autoencoder" / "run.json").read_text())["processes"] == 2
    first, second = weights(run / "autoencoder" / "export"), weights(tmp_path / "x" / "autoencoder" / "export")
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-4, rtol=1e-3)
