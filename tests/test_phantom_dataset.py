"""The phantom data set on disk, and its command."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from phantoms import COARSE

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, DatasetError, IncompatibleResume
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.phantom import DEFAULT_GRID, phantom_case, write_phantom_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw") / "Dataset700_HBPPhantom"
    write_phantom_dataset(out, 2, 0, COARSE)
    return out


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*.nii.gz"))}


def test_reads_back_as_a_raw_data_set(folder: Path) -> None:
    dataset = RawDataset(folder)
    assert dataset.case_ids == ("phantom_0000", "phantom_0001")
    assert dataset.schema == HBP
    assert dataset.channel_names == ("HBP",)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2
    case, made = dataset.load("phantom_0001"), phantom_case(0, 1, COARSE)
    assert (case.image == made.image).all()
    assert (case.label == made.label).all()
    assert case.grid.matches(COARSE)


def test_running_again_completes_what_is_missing(tmp_path: Path, folder: Path) -> None:
    write_phantom_dataset(tmp_path, 1, 0, COARSE)
    (tmp_path / "labelsTr" / "phantom_0000.nii.gz").unlink()
    done: list[int] = []
    write_phantom_dataset(tmp_path, 2, 0, COARSE, progress=done.append)
    assert done == [1, 2]
    assert _bytes(tmp_path) == _bytes(folder)


def test_complete_cases_are_left_alone(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.nii.gz")}
    write_phantom_dataset(folder, 2, 0, COARSE)
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*.nii.gz")}


def test_many_processes_write_the_same_bytes(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lldm_aug.phantom.phantom_dataset.PARALLEL_FROM", 2)
    write_phantom_dataset(tmp_path, 3, 0, COARSE)
    files = _bytes(tmp_path)
    assert len(files) == 6
    assert _bytes(folder).items() <= files.items()


def test_refuses_another_seed_or_grid(folder: Path) -> None:
    with pytest.raises(IncompatibleResume, match="seed 0 -> 1"):
        write_phantom_dataset(folder, 2, 1, COARSE)
    with pytest.raises(IncompatibleResume, match="grid"):
        write_phantom_dataset(folder, 2, 0, DEFAULT_GRID)


def test_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="something else"):
        write_phantom_dataset(tmp_path, 1, 0, COARSE)
    assert [p.name for p in tmp_path.iterdir()] == ["dataset.json"]


def test_refuses_a_damaged_marker(tmp_path: Path) -> None:
    (tmp_path / "phantom.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        write_phantom_dataset(tmp_path, 1, 0, COARSE)


def test_refuses_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 phantoms"):
        write_phantom_dataset(tmp_path, 0, 0, COARSE)


def test_command_writes_a_data_set(tmp_path: Path, folder: Path) -> None:
    grid = ["--shape", "40", "32", "24", "--spacing", "8", "8", "9"]
    result = CliRunner().invoke(main, ["phantom", "--n", "2", "--out", str(tmp_path / "x"), *grid])
    assert result.exit_code == 0, result.output
    assert _bytes(tmp_path / "x") == _bytes(folder)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["phantom", "--n", "3", "--out", str(tmp_path / "x"), "--dry-run"])
    assert result.exit_code == 0
    assert "3 of 3" in result.output
    assert not (tmp_path / "x").exists()


def test_says_how_many_livers_the_edge_cuts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_phantom_dataset(tmp_path / "whole", 1, 0, COARSE)
    assert not caplog.records
    write_phantom_dataset(tmp_path / "cut", 2, 0, Grid.regular((16, 16, 16), (5.0, 5.0, 5.0)))
    assert "cuts 2 of 2 livers" in caplog.text
