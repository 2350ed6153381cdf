"""A generative model of masks: trains, resumes bit for bit, draws by seed, goes with a generator, leaks nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from tiny import MASK_STAGES, MASKS, copy_without, tiny_config, tiny_generator

from lldm_aug.blending.leakage import find_leaks
from lldm_aug.cli import main
from lldm_aug.config.load import resolved_yaml
from lldm_aug.config.schema import Config, MaskSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import CheckpointError, ConfigError, IncompatibleResume, LabelError
from lldm_aug.io.weights import check_sums
from lldm_aug.labels import HBP
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.learned import LearnedMasks
from lldm_aug.models.mask_description import mask_model_folder
from lldm_aug.models.mask_model import MaskModel
from lldm_aug.pool.manifest import read_cases, read_info
from lldm_aug.stages.run import train


def mask_config(**masks: object) -> Config:
    """The tiny generator's settings, with a mask model as tiny."""
    settings = tiny_config(steps=2).model_dump(mode="json")
    settings["masks"] = MASKS | masks
    settings["train"] |= MASK_STAGES
    return Config.model_validate(settings)


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a mask model and a generator that carries it."""
    out = tmp_path_factory.mktemp("runs") / "x"
    steps: list[int] = []
    train("masks", mask_config(), dataset, 0, out, on_step=lambda step, figures: steps.append(step))
    assert steps == list(range(1, 101))
    return tiny_generator(dataset, out, mask_config())


@pytest.fixture(scope="module")
def model(run: Path) -> MaskModel:
    """The mask model."""
    return MaskModel.load(run / "masks" / "export")


def test_the_model_names_all_that_it_saw(model: MaskModel, dataset: RawDataset) -> None:
    stages = model.description.stages
    expected = {c: dataset.label_hash(c) for c in load_split(dataset, 0).train}
    assert [s.stage for s in stages] == ["masks_autoencoder", "masks_diffusion"]
    assert all(s.cases == expected and s.fold == 0 for s in stages)


def test_it_says_how_well_masks_pass_through_the_autoencoder(model: MaskModel) -> None:
    assert 0.5 < model.description.reconstruction_dice["liver"] <= 1
    assert set(model.description.reconstruction_dice) == {"liver", "hcc"}


def test_resume_is_bit_identical(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    missing = ("export", "autoencoder/export", "diffusion", "latents", "autoencoder/checkpoints/step_00000060")
    again = copy_without(run, tmp_path / "x", *(f"masks/{name}" for name in missing))
    train("masks", mask_config(), dataset, 0, again)
    for path in sorted((run / "masks" / "export").glob("*.safetensors")):
        first, second = load_file(path), load_file(again / "masks" / "export" / path.name)
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_two_processes_get_through_both_passes(dataset: RawDataset, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    settings = mask_config(examples=4).model_dump(mode="json")
    settings["train"]["masks_autoencoder"]["steps"] = 3
    config.write_text(resolved_yaml(Config.model_validate(settings)))
    options = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0")
    line = [sys.executable, "-m", "accelerate.commands.launch", *options, "-m", "lldm_aug", "train", "masks"]
    line += ["--data", str(dataset.folder), "--fold", "0", "--out", str(tmp_path / "x"), "--config", str(config)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert MaskModel.load(tmp_path / "x" / "masks" / "export").hash


def test_a_finished_model_is_left_alone(run: Path, dataset: RawDataset) -> None:
    before = (run / "masks" / "export" / "SHA256SUMS").stat().st_mtime_ns
    changed = mask_config(sampling={"steps": 3})  # touches no weights
    assert train("masks", changed, dataset, 0, run) == run / "masks" / "export"
    assert (run / "masks" / "export" / "SHA256SUMS").stat().st_mtime_ns == before


def test_other_settings_are_refused_by_name(run: Path, dataset: RawDataset) -> None:
    with pytest.raises(IncompatibleResume, match="reach_mm"):
        train("masks", mask_config(reach_mm=20.0), dataset, 0, run)


def test_grids_that_the_networks_cannot_halve_are_refused(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    deep = {"channels": (16, 16, 16, 16), "attention": (False,) * 4, "head_channels": 16}
    with pytest.raises(ConfigError, match="multiple"):
        train("masks", mask_config(denoiser=deep), dataset, 0, tmp_path)


def test_masks_have_nothing_to_be_guided_by() -> None:
    with pytest.raises(ValueError, match="nothing to guide by"):
        MaskSettings.model_validate({"sampling": {"guidance": 2.0}})


def test_a_draw_is_a_function_of_index_and_seed(model: MaskModel) -> None:
    source = LearnedMasks(model, model.description.labels)
    again = LearnedMasks(model, model.description.labels)
    first, other = source.draw(3, 7), source.draw(4, 7)
    assert np.array_equal(first.label.data, again.draw(3, 7).label.data)
    assert not np.array_equal(first.label.data, other.label.data)
    assert not np.array_equal(first.label.data, source.draw(3, 8).label.data)


def test_a_draw_is_a_mask_on_the_models_grid(model: MaskModel) -> None:
    drawn = LearnedMasks(model, model.description.labels).draw(0, 0)
    assert drawn.label.grid.matches(model.description.grid)
    assert drawn.label.data.dtype == np.int16
    assert 1 in drawn.label.data
    assert drawn.origin.kind == "learned"
    assert drawn.origin.source_case is None


def test_other_structures_are_refused(model: MaskModel) -> None:
    with pytest.raises(LabelError, match="portal_vein"):
        LearnedMasks(model, HBP)


def test_a_folder_without_mask_model_is_refused(tmp_path: Path, model: MaskModel) -> None:
    grid, labels = model.description.grid, model.description.labels
    with pytest.raises(CheckpointError, match="lldm-aug train masks"):
        make_mask_source("learned", labels, dataset=None, cases=(), grid=grid, model=tmp_path)
    with pytest.raises(ConfigError, match="lldm-aug train masks"):
        make_mask_source("learned", labels, dataset=None, cases=(), grid=grid)


def test_a_changed_byte_is_found(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    shutil.copytree(run / "masks" / "export", folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(CheckpointError, match="changed"):
        MaskModel.load(folder)


def test_a_mask_model_is_found_in_its_own_folder_a_generators_and_a_runs(run: Path) -> None:
    folders = [run, run / "generator", run / "masks" / "export"]
    assert {check_sums(mask_model_folder(f)) for f in folders} == {check_sums(run / "masks" / "export")}


def generate(model: Path, out: Path, *more: str) -> str:
    """Runs ``lldm-aug generate`` with learned masks; what it prints."""
    line = ["generate", "--n", "2", "--masks", "learned", "--model", str(model), "--out", str(out), *more]
    return CliRunner().invoke(main, line).output


def test_a_generator_that_carries_a_mask_model_needs_no_data(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    shutil.copytree(run / "generator", tmp_path / "carried")
    generate(tmp_path / "carried", tmp_path / "pool")
    cases = read_cases(tmp_path / "pool")
    assert [case.mask.kind for case in cases.values()] == ["learned", "learned"]
    info = read_info(tmp_path / "pool")
    assert info.settings["mask_model"] == check_sums(run / "masks" / "export")
    seen = next(iter(load_split(dataset, 0).train))
    leaks = find_leaks(info.generator, (c.mask for c in cases.values()), dataset=dataset.name, validation={seen: None})
    assert {"masks_autoencoder", "masks_diffusion"} <= {leak.stage for leak in leaks}
    kept = dict.fromkeys(load_split(dataset, 0).val)
    assert find_leaks(info.generator, (), dataset=dataset.name, validation=kept) == ()


def test_learned_masks_without_a_model_or_with_data_are_refused(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    shutil.copytree(run / "generator", tmp_path / "g")
    output = generate(tmp_path / "g", tmp_path / "pool", "--data", str(dataset.folder))
    assert "come from no data set" in output
    shutil.rmtree(tmp_path / "g" / "masks")
    assert "lldm-aug train masks" in generate(tmp_path / "g", tmp_path / "pool")
