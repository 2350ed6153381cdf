"""Bad input at the command line: one line that says what, where and what to do; nothing half-written."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from descriptions import description
from pools import write_dataset

from lldm_aug.cli import main
from lldm_aug.models.generator import Generator


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set without fault."""
    return write_dataset(tmp_path_factory.mktemp("data") / "Dataset997_Blobs", cases=5)


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(good, tmp_path / good.name))


def train_error(data: Path, out: Path, *more: str) -> str:
    """What training says of bad data; it must be one line, and leave no prepared cases."""
    command = [
        "train",
        "autoencoder",
        "--config",
        "tiny",
        "--data",
        str(data),
        "--fold",
        "all",
        "--out",
        str(out),
        *more,
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code in (1, 2)
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert not (out / "cases" / "cases.json").exists()
    return result.stderr


def test_truncated_image(data: Path, tmp_path: Path) -> None:
    path = data / "imagesTr" / "case_02_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])
    message = train_error(data, tmp_path / "x")
    assert "case_02_0000.nii.gz" in message
    assert "truncated" in message


def test_file_that_is_no_nifti(data: Path, tmp_path: Path) -> None:
    (data / "imagesTr" / "case_02_0000.nii.gz").write_bytes(b"hello")
    assert "case_02_0000.nii.gz" in train_error(data, tmp_path / "x")


def rewrite(path: Path, change_data: object = None, shift_mm: float = 0.0) -> None:
    """Writes a NIfTI file anew with plain nibabel."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    affine = image.affine.copy()
    affine[0, 3] += shift_mm
    nib.save(nib.Nifti1Image(array if change_data is None else change_data(array), affine), path)  # type: ignore[operator]


def test_label_outside_the_schema(data: Path, tmp_path: Path) -> None:
    def spoil(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        changed[0, 0, :3] = 7
        return changed

    rewrite(data / "labelsTr" / "case_01.nii.gz", spoil)
    message = train_error(data, tmp_path / "x")
    assert "case_01.nii.gz" in message
    assert "7 (3 voxels)" in message
    assert "dataset.json" in message


def test_image_and_mask_on_different_grids(data: Path, tmp_path: Path) -> None:
    rewrite(data / "labelsTr" / "case_03.nii.gz", shift_mm=5.0)
    message = train_error(data, tmp_path / "x")
    assert "case_03" in message
    assert "5.000 mm" in message


def test_missing_fold(data: Path, tmp_path: Path) -> None:
    assert "there are 0..4" in train_error(data, tmp_path / "x", "--fold", "9")


def test_missing_data_set(tmp_path: Path) -> None:
    assert "no folder" in train_error(tmp_path / "nowhere", tmp_path / "x")


def test_unknown_setting_names_the_nearest(data: Path, tmp_path: Path) -> None:
    message = train_error(data, tmp_path / "x", "--set", "train.autoencoder.step=3")
    assert "train.autoencoder.steps" in message


def test_generator_with_a_changed_byte(data: Path, tmp_path: Path) -> None:
    Generator.untrained(description()).save(tmp_path / "g", card="card")
    path = tmp_path / "g" / "autoencoder.safetensors"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    command = ["generate", "--n", "1", "--masks", "procedural", "--model", str(tmp_path / "g")]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "p")])
    assert result.exit_code == 1
    assert "autoencoder.safetensors: has changed" in result.stderr
    assert not (tmp_path / "p").exists()
