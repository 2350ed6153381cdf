"""One command for the generators of several folds."""

import json
from pathlib import Path

from click.testing import CliRunner
from tiny import STAGE, tiny_config

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.models.description import Description


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
