"""The table of stages, and the commands that train them; several folds at once."""

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tiny import STAGE, tiny_config, tiny_dataset
from torch import nn

from lldm_aug.cli import main
from lldm_aug.cli.train import ALL
from lldm_aug.cli.train import train as train_command
from lldm_aug.config.schema import Config
from lldm_aug.config.stages import NOT_OF_IMAGES, STAGE_SETTINGS
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import ConfigError
from lldm_aug.io.atomic import write_json
from lldm_aug.models.description import Description
from lldm_aug.report.run_chapter import stage_folders
from lldm_aug.stages import run as stage_run
from lldm_aug.stages.table import GENERATOR_STAGES, STAGES, StageSpec, commands, stages_of, whole_generator
from lldm_aug.training.diffusion_stage import DiffusionStage
from lldm_aug.training.export import read_export


def test_every_stage_of_the_settings_is_in_the_table() -> None:
    assert {*STAGES} == {*STAGE_SETTINGS}
    assert {name for name, spec in STAGES.items() if spec.name != name} == set()
    assert {"segmenter", "masks_autoencoder", "masks_diffusion"} == NOT_OF_IMAGES


@pytest.mark.parametrize("spec", STAGES.values(), ids=STAGES)
def test_its_trainer_is_there_and_bears_its_name(spec: StageSpec) -> None:
    trainer = spec.load()
    assert getattr(trainer, "name", None) == spec.name
    assert {*spec.needs, *spec.carries, *([spec.chosen_by] if spec.chosen_by else [])} <= {*STAGES}


@pytest.mark.parametrize("spec", STAGES.values(), ids=STAGES)
def test_what_binds_a_stage_are_settings(spec: StageSpec) -> None:
    for name in spec.binds:
        section: object = Config()
        for part in name.split("."):
            section = getattr(section, part)
    bound = stage_run._binding(spec, Config())
    assert {"seed", "train.precision", f"train.{spec.name}.steps"} <= {*bound}
    assert all(any(f"{key}.".startswith(f"{name}.") for key in bound) for name in spec.binds)
    assert not [key for key in bound if "sampling" in key or key.endswith("log_every")]


def test_stages_come_after_those_that_they_need() -> None:
    order = [*STAGES]
    assert all(order.index(need) < order.index(name) for name, spec in STAGES.items() for need in spec.needs)
    assert whole_generator() == ("segmenter", *GENERATOR_STAGES)


def test_the_command_line_offers_them_all() -> None:
    (argument,) = (p for p in train_command.params if isinstance(p, click.Argument))
    assert isinstance(argument.type, click.Choice)
    assert tuple(argument.type.choices) == (*commands(), ALL)
    assert [spec.name for found in commands().values() for spec in found] == [*STAGES]


def test_no_two_stages_share_a_folder(tmp_path: Path) -> None:
    assert len({spec.folder(tmp_path) for spec in STAGES.values()}) == len(STAGES)


def test_reports_list_them_in_the_order_of_the_settings(tmp_path: Path) -> None:
    for spec in STAGES.values():
        write_json(spec.folder(tmp_path) / "run.json", {"stage": spec.name})
    folders = {spec.folder(tmp_path): name for name, spec in STAGES.items()}
    assert [folders[path] for path in stage_folders(tmp_path)] == [*STAGE_SETTINGS]


class Echo(DiffusionStage):
    """A stage that a user adds."""

    name = "echo"


def test_a_new_stage_is_a_class_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(
        STAGES["diffusion"], name="echo", trainer=f"{__name__}:Echo", section="diffusion", of_generator=False
    )
    monkeypatch.setitem(STAGES, "echo", spec)
    dataset, config = tiny_dataset(tmp_path), tiny_config(steps=2)
    for name in ("autoencoder", "echo"):
        result = stage_run.train(name, config, dataset, 0, tmp_path / "run")
    assert result == tmp_path / "run" / "echo" / "export"
    assert stage_run.number_of_steps("echo", config) == 2
    export = read_export(result, "a test")
    assert [stage.stage for stage in export.record.stages] == ["autoencoder", "echo"]
    assert isinstance(spec.load(), type(nn.Module))


def config_file(folder: Path) -> Path:
    """The tiny generator's settings, with a tiny segmenter."""
    settings = tiny_config(steps=2).model_dump(mode="json")
    settings["segmenter"] = {"filters": 8, "blocks": (1, 1), "norm_groups": 4}
    settings["train"]["segmenter"] = {**STAGE, "steps": 2}
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    return path


def test_each_fold_gets_a_generator_that_saw_its_training_cases_alone(dataset: RawDataset, tmp_path: Path) -> None:
    """With the segmenter that it chose its weights by; run again, nothing is left to do."""
    config, out = config_file(tmp_path), tmp_path / "runs"
    arguments = ["train", "all", "--config", str(config), "--data", str(dataset.folder), "--out", str(out)]
    result = CliRunner().invoke(main, [*arguments, "--folds", "0,3"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"fold_0", "fold_3"}
    for fold in (0, 3):
        generator = out / f"fold_{fold}" / "generator"
        assert (generator / "segmenter").is_dir()
        seen = {case for stage in Description.read(generator).stages for case in stage.cases}
        assert seen == {*load_split(dataset, fold).train}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert CliRunner().invoke(main, [*arguments, "--folds", "0,3"]).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before


def test_one_of_fold_and_folds_is_needed(dataset: RawDataset, tmp_path: Path) -> None:
    """Neither is guessed."""
    arguments = ["train", "all", "--data", str(dataset.folder), "--out", str(tmp_path / "x")]
    for more in ([], ["--fold", "0", "--folds", "0-4"], ["--folds", "4-0"]):
        assert CliRunner().invoke(main, [*arguments, *more]).exit_code == 2


def test_the_dry_run_names_all_that_would_be_trained(dataset: RawDataset, tmp_path: Path) -> None:
    """Each stage of each fold."""
    arguments = ["train", "all", "--config", "tiny", "--data", str(dataset.folder), "--out", str(tmp_path / "x")]
    output = CliRunner().invoke(main, [*arguments, "--folds", "0-4", "--dry-run"]).output
    assert output.count("training cases of") == 5 * 4
    assert "# controlnet: " in output.splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_a_stage_of_several_is_found_by_its_own_name_too() -> None:
    assert stages_of("masks") == (STAGES["masks_autoencoder"], STAGES["masks_diffusion"])
    assert stages_of("masks_diffusion") == (STAGES["masks_diffusion"],)
    with pytest.raises(ConfigError, match="no stage 'mask'"):
        stages_of("mask")
