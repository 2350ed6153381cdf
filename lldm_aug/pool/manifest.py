"""``pool.json`` and ``manifest.jsonl``: a case exists when its manifest line does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import append_json_line, read_json_lines
from lldm_aug.pool.provenance import GeneratorProvenance, Record

POOL_FILE = "pool.json"
MANIFEST_FILE = "manifest.jsonl"
FORMAT_VERSION = 1


class MaskOrigin(Record):
    """Where a mask came from.

    Args:
        kind: ``real``, ``deformed`` or ``procedural``.
        source_dataset: data set of the case that it was made from, if any.
        source_case: that case's id, if any.
        source_sha256: SHA-256 of that case's mask file, if any.
        rejected: masks drawn and refused for their anatomy before this one.
    """

    kind: str
    source_dataset: str | None = None
    source_case: str | None = None
    source_sha256: str | None = None
    rejected: int = 0


class FileRecord(Record):
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class PoolCase(Record):
    """One line of the manifest.

    Args:
        case_id: name in nnU-Net's raw layout (``images/{case_id}_0000.nii.gz``, ``labels/{case_id}.nii.gz``).
        index: its number in the pool.
        seed: the seed that, with the generator and mask source, decides every voxel.
        mask: the mask's origin.
        files: records by path relative to the pool.
    """

    case_id: str
    index: int
    seed: int
    mask: MaskOrigin
    files: dict[str, FileRecord]


class PoolInfo(Record):
    """What is common to all cases of a pool.

    Args:
        format_version: version of this layout.
        lldm_aug_version: version that made it.
        seed: the run's seed.
        mask_source: the kind of masks asked for.
        mask_dataset: data set that the masks were drawn from, if any.
        fold: fold of that data set whose training cases were drawn from, if any.
        split_hash: hash of that fold's split, if any.
        dataset_json: nnU-Net's description of the cases: channels, labels, file ending.
        generator: the generator's identity and history.
        settings_hash: hash over all that decides what case k looks like.
        settings: the resolved settings behind that hash.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    seed: int
    mask_source: str
    mask_dataset: str | None
    fold: int | str | None
    split_hash: str | None
    dataset_json: dict[str, Any]
    generator: GeneratorProvenance
    settings_hash: str
    settings: dict[str, Any]


def append_case(pool: Path, case: PoolCase) -> None:
    """Adds a case whose files are already on disk; many processes may add to one pool."""
    append_json_line(pool / MANIFEST_FILE, case.model_dump(mode="json"))


def read_cases(pool: Path) -> dict[str, PoolCase]:
    """All cases of a pool by id, sorted.

    Raises:
        PoolError: when a line is no valid record.
    """
    try:
        cases = [PoolCase.model_validate(line) for line in read_json_lines(pool / MANIFEST_FILE)]
    except ValidationError as error:
        raise PoolError(f"invalid manifest line ({error.errors()[0]['msg']})", where=pool / MANIFEST_FILE) from error
    return {case.case_id: case for case in sorted(cases, key=lambda c: c.case_id)}


def read_info(pool: Path) -> PoolInfo:
    """The pool's ``pool.json``.

    Raises:
        PoolError: when it is missing or invalid.
    """
    path = pool / POOL_FILE
    try:
        return PoolInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise PoolError(f"no {POOL_FILE}", where=pool, fix="point to a folder made by 'lldm-aug generate'") from error
    except ValidationError as error:
        raise PoolError(f"invalid ({error.errors()[0]['msg']})", where=path) from error
