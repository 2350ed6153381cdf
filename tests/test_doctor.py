"""``lldm-aug doctor`` and ``lldm-aug nnunet``: what a user sees."""

import os
from pathlib import Path

import pools
import pytest
from click.testing import CliRunner, Result
from nnunet_project import CONFIGURATION, NAME, Project

from lldm_aug.cli import main
from lldm_aug.doctor import discover_folder, examine


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", str(discover_folder()))


def states() -> dict[str, str]:
    return {finding.what: finding.state for finding in examine()}


def test_finds_the_trainer_through_the_search_path(hooked: None) -> None:
    assert states()["nnUNetTrainerLLDMAug"] == "ok"


def test_says_what_to_export_without_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    result = run("doctor")
    assert result.exit_code == 1
    assert f"export nnUNet_extTrainer={discover_folder()}" in result.output
    assert "FAULT nnUNetTrainerLLDMAug" in result.output


def test_lists_versions_and_variables(hooked: None, project: Project) -> None:
    output = run("doctor").output
    for name in ("torch", "monai", "nnunetv2", "device", "embedded generator"):
        assert f" {name}: " in output
    assert os.environ["nnUNet_raw"] in output


def test_prepare_shows_what_it_did_and_the_next_command(project: Project) -> None:
    arguments = ("nnunet", "prepare", "-d", "700", "--pool", project.pool, "-c", CONFIGURATION, "--name", "cli")
    dry = run(*arguments, "--dry-run")
    assert "5 of 5 cases to preprocess" in dry.output
    assert not (project.preprocessed / "lldm_aug/cli").exists()
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "nnUNetv2_train 700 3d_fullres 0 -tr nnUNetTrainerLLDMAug" in result.output
    assert "0 of 5 cases to preprocess" in run(*arguments).output


def test_prepare_says_in_one_line_what_is_wrong(project: Project, tmp_path: Path) -> None:
    leaky = pools.write_pool(
        tmp_path / "leaky", cases=1, generator=pools.provenance(NAME, ["case_00", "case_01"], "all")
    )
    results = [run("nnunet", "prepare", "-d", NAME, "--pool", leaky, "--fold", fold) for fold in range(5)]
    assert {result.exit_code for result in results} == {0, 1}
    assert any("autoencoder saw case_0" in result.output for result in results)
