"""Small volumes, data sets and damaged files that several tests need."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.volume import Volume

GRID = Grid.regular((10, 9, 8), (1.25, 1.5, 4.0), (3.0, -2.0, 50.0))
LABELS = {"background": 0, "liver": 1, "portal_vein": 2, "hepatic_vein": 3, "hcc": 4}


def shared_data(name: str) -> Path:
    """A folder of real volumes, or the test is skipped."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LLDM_AUG_TEST_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"no shared data {name}")
    return folder


def noise(grid: Grid = GRID, seed: int = 0) -> Volume:
    """Incompressible float32 voxels."""
    return Volume(np.random.default_rng(seed).normal(100, 20, grid.shape).astype(np.float32), grid)


def mask(grid: Grid = GRID) -> Volume:
    """A box of liver with one voxel of each other structure."""
    data = np.zeros(grid.shape, np.uint8)
    data[2:8, 2:8, 2:7] = 1
    data[3, 3, 3], data[4, 4, 4], data[5, 5, 5] = 2, 3, 4
    return Volume(data, grid)


def write_dataset(folder: Path, case_ids: tuple[str, ...], **changes: object) -> Path:
    """A data set in nnU-Net's raw layout."""
    description = {"channel_names": {"0": "MR"}, "labels": LABELS, "file_ending": ".nii.gz"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(description | changes))
    for i, case_id in enumerate(case_ids):
        write_nifti(folder / "imagesTr" / f"{case_id}_0000.nii.gz", noise(seed=i))
        write_nifti(folder / "labelsTr" / f"{case_id}.nii.gz", mask())
    return folder
