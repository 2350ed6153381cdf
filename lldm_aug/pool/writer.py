"""Adding cases to a pool, inpainted ones with their host: files first, then the manifest line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_changed, write_nifti
from lldm_aug.io.records import refuse_changes
from lldm_aug.pool.manifest import POOL_FILE, InpaintedRegion, MaskOrigin, PoolCase, PoolInfo, append_case, read_info
from lldm_aug.pool.pool_dataset import file_record
from lldm_aug.pool.rejected import REJECTED_FOLDER, Reason, RejectedCase, append_rejected
from lldm_aug.volume import Volume


@dataclass(frozen=True)
class Inpainted:
    """A host, and what was painted anew in it.

    Args:
        host: the real case.
        images: its image files, one a channel.
        label: its mask file.
        region: (X, Y, Z) booleans, True where the image was painted; outside of it, image and mask are the host's.
        record: for the manifest.
    """

    host: Case
    images: tuple[Path, ...]
    label: Path
    region: np.ndarray
    record: InpaintedRegion


FILE_ENDING = ".nii.gz"


def open_pool(folder: Path, info: PoolInfo) -> None:
    """Begins a pool, or finds that it was begun with the same settings; other processes may do so at the same time.

    Raises:
        IncompatibleResume: when it was begun with other settings; says which.
    """
    if not (folder / POOL_FILE).exists():
        write_json(folder / POOL_FILE, info.model_dump(mode="json"))
        return
    before = read_info(folder)
    fix = "repeat the first command, or choose another --out"
    refuse_changes(folder, before.settings, info.settings, fix=fix)


def case_name(seed: int, index: int) -> str:
    """Case id of one number in a run."""
    return f"lldm_{seed}_{index:05d}"


def write_case(
    pool: Path,
    case_id: str,
    index: int,
    seed: int,
    image: np.ndarray,
    label: np.ndarray,
    grid: Grid,
    origin: MaskOrigin,
    reasons: Sequence[Reason] = (),
    inpainted: Inpainted | None = None,
) -> PoolCase:
    """Writes the files of a case, each atomically, then its line: of the manifest, or of ``rejected.jsonl``.

    Args:
        pool: the pool's folder.
        case_id: its name.
        index: its number in the run.
        seed: its seed.
        image: (C, X, Y, Z).
        label: (X, Y, Z) integers.
        grid: grid of both.
        origin: the mask's origin.
        reasons: why the quality filter rejected it, if it did.
        inpainted: the host whose voxels all are but those of a region; its files are written with these changed.
    """
    folder = REJECTED_FOLDER if reasons else ""
    images = [f"{folder}images/{case_id}_{i:04d}{FILE_ENDING}" for i in range(len(image))]
    mask = f"{folder}labels/{case_id}{FILE_ENDING}"
    if inpainted is None:
        for name, channel in zip(images, image, strict=True):
            write_nifti(pool / name, Volume(channel, grid))
        write_nifti(pool / mask, Volume(label.astype(np.uint8 if label.max(initial=0) < 256 else np.int16), grid))
    else:
        for name, channel, source in zip(images, image, inpainted.images, strict=True):
            write_changed(pool / name, source, channel, inpainted.region)
        write_changed(pool / mask, inpainted.label, label, label != inpainted.host.label)
    case = PoolCase(
        case_id=case_id,
        index=index,
        seed=seed,
        mask=origin,
        files={name: file_record(pool / name) for name in (*images, mask)},
        inpainting=None if inpainted is None else inpainted.record,
    )
    if reasons:
        rejected = RejectedCase(**dict(case), reasons=tuple(reasons))
        append_rejected(pool, rejected)
        return rejected
    append_case(pool, case)
    return case
