"""Small hearts: a wall of three voxels around a cavity, with an infarct in it or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from volumes import write_dataset

from lldm_aug.anatomy.declaration import ANATOMY_FILE
from lldm_aug.data.raw import RawDataset
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.volume import Volume

GRID = Grid.regular((40, 40, 5), (2.0, 2.0, 10.0))
LABELS = {"background": 0, "cavity": 1, "myocardium": 2, "infarct": 3, "no_reflow": 4}
ANATOMY = """
lesions:
  infarct: {within: [myocardium], holds: [no_reflow], shapes: [copies], cut: true}
lesion_free_hosts: true
"""


def heart(infarct: bool = True, slices: slice = slice(1, 3), width: float = 0.9) -> Volume:
    """A ring of 6 mm; an infarct of its whole thickness with no-reflow at its inner side."""
    x, y = np.indices(GRID.shape[:2]) - 19.5
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    data = np.zeros(GRID.shape, np.uint8)
    data[radius < 10] = 1
    data[(radius >= 10) & (radius < 13)] = 2
    if infarct:
        sector = (np.abs(angle) < width) & (radius >= 10) & (radius < 13)
        data[..., slices][sector] = 3
        data[..., slices][sector & (np.abs(angle) < width / 2) & (radius < 11)] = 4
    return Volume(data, GRID)


def write_hearts(folder: Path, hearts: dict[str, Volume], anatomy: str = ANATOMY) -> RawDataset:
    """A data set of them, with their anatomy; images are noise on another grid."""
    write_dataset(folder, tuple(hearts), labels=LABELS)
    for case_id, volume in hearts.items():
        write_nifti(folder / "labelsTr" / f"{case_id}.nii.gz", volume)
    (folder / ANATOMY_FILE).write_text(anatomy, encoding="utf-8")
    return RawDataset(folder)
