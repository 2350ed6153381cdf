"""A folder of phantoms in nnU-Net's raw layout, written in parallel and resumable."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from lldm_aug.errors import ConfigError, DatasetError
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_nifti
from lldm_aug.io.records import read_json, refuse_changes
from lldm_aug.labels import HBP
from lldm_aug.phantom.render_case import phantom_case
from lldm_aug.volume import Volume

log = logging.getLogger(__name__)

MARKER = "phantom.json"
PHANTOM_VERSION = 3
"""Goes up when the same seed gives another phantom."""
PARALLEL_FROM = 16


def write_phantom_dataset(
    out: Path,
    n: int,
    seed: int,
    grid: Grid,
    *,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Writes cases ``phantom_0000`` to n - 1; cases that are there already are kept, so a second run goes on.

    A case is complete when its label exists: the image is written first, each file atomically. A warning counts the
    livers that the grid's edge cuts.

    Args:
        out: the data set's folder, such as ``nnUNet_raw/Dataset700_HBPPhantom``.
        n: number of cases.
        seed: decides every voxel, together with the case's number.
        grid: of all cases.
        progress: called with the number of complete cases whenever one is finished.

    Raises:
        ConfigError: for fewer than one case.
        DatasetError: when the folder holds something else.
        IncompatibleResume: when the folder was begun with another seed, grid or version.
    """
    if n < 1:
        raise ConfigError(f"{n} phantoms were asked for", fix="ask for at least one")
    _claim(out, seed, grid)
    missing = missing_cases(out, n)
    cut = 0
    for done, is_cut in enumerate(_write_all(out, missing, seed, grid), start=n - len(missing) + 1):
        cut += is_cut
        if progress is not None:
            progress(done)
    if cut:
        log.warning("the grid's edge cuts %d of %d livers: ask for more voxels, or for larger ones", cut, len(missing))
    total = len(list((out / "labelsTr").glob("phantom_*.nii.gz")))
    write_json(out / "dataset.json", _description(total))


def missing_cases(out: Path, n: int) -> list[int]:
    """Numbers below n of the cases that are not complete yet."""
    return [i for i in range(n) if not (out / "labelsTr" / f"phantom_{i:04d}.nii.gz").exists()]


def _claim(out: Path, seed: int, grid: Grid) -> None:
    """Marks a new folder as this phantom data set, or checks that it is."""
    ours = {"phantom_version": PHANTOM_VERSION, "seed": seed, "grid": grid.to_json()}
    marker = out / MARKER
    if marker.exists():
        fix = "choose another folder"
        refuse_changes(out, read_json(marker, error=DatasetError, fix=fix), ours, fix=fix)
    elif out.exists() and any(out.iterdir()):
        raise DatasetError("the folder holds something else", where=out, fix="choose a new or empty folder")
    else:
        write_json(marker, ours)


def _write_all(out: Path, indices: list[int], seed: int, grid: Grid) -> Iterator[bool]:
    """Writes cases, many at a time if there are many; yields for each whether its liver is cut."""
    if len(indices) < PARALLEL_FROM:
        for index in indices:
            yield _write_case(out, index, seed, grid)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as executor:
        futures = [executor.submit(_write_case, out, index, seed, grid) for index in indices]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            executor.shutdown(cancel_futures=True)


def _write_case(out: Path, index: int, seed: int, grid: Grid) -> bool:
    case = phantom_case(seed, index, grid)
    image = case.image[0].astype("int16")
    write_nifti(out / "imagesTr" / f"{case.case_id}_0000.nii.gz", Volume(image, grid))
    write_nifti(out / "labelsTr" / f"{case.case_id}.nii.gz", Volume(case.label.astype("uint8"), grid))
    return _touches_edge(case.label)


def _touches_edge(label: np.ndarray) -> bool:
    """Whether any of the six outermost layers has a structure."""
    return any(label.take(end, axis).any() for axis in range(label.ndim) for end in (0, -1))


def _description(cases: int) -> dict[str, Any]:
    return {
        "channel_names": {"0": "HBP"},
        "labels": HBP.to_dataset_json(),
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "name": "HBPPhantom",
        "description": "Digital phantoms of hepatobiliary-phase liver MR; simulated, not from patients.",
    }
