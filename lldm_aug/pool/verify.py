"""Checks that the files of a pool are those that its manifest names."""

from __future__ import annotations

from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.pool.manifest import FileRecord, PoolCase, PoolInfo, read_cases, read_info
from lldm_aug.pool.rejected import read_rejected
from lldm_aug.pool.retired import RETIRED_FILE, read_retired


def file_record(path: Path) -> FileRecord:
    """Size and hash of a file on disk."""
    return FileRecord(size=path.stat().st_size, sha256=sha256_file(path))


def check_case(pool: Path, case: PoolCase, *, full: bool = True) -> None:
    """Checks one case: sizes always, hashes if ``full``.

    Raises:
        PoolError: names the first file that is missing or differs.
    """
    for name, record in case.files.items():
        path = pool / name
        if not path.resolve().is_relative_to(pool.resolve()):
            raise PoolError(f"file {name!r} lies outside the pool", where=pool)
        if not path.is_file():
            lines = "rejected.jsonl" if name.startswith("rejected/") else "manifest.jsonl"
            fix = f"restore it, or delete the line of its case in {lines} and generate again"
            raise PoolError("missing", where=path, fix=fix)
        if path.stat().st_size != record.size or (full and sha256_file(path) != record.sha256):
            fix = "delete it and its line, then generate again"
            raise PoolError("differs from its manifest line", where=path, fix=fix)


def case_files(info: PoolInfo, case_id: str) -> set[str]:
    """The paths that a case of this pool must have: one image a channel, and the mask."""
    ending = info.dataset_json.get("file_ending", ".nii.gz")
    channels = len(info.dataset_json.get("channel_names", ()))
    return {f"images/{case_id}_{i:04d}{ending}" for i in range(channels)} | {f"labels/{case_id}{ending}"}


def verify_pool(pool: Path) -> int:
    """Checks every file of a pool by its hash, those of rejected pairs too; returns the number of cases.

    Cases that a renewing pool has let go are not looked for.

    Raises:
        PoolError: as `check_case`, when a case lacks an image or its mask, or ``pool.json`` or the manifest is invalid.
    """
    info = read_info(pool)
    cases = read_cases(pool)
    for case in cases.values():
        missing = sorted(case_files(info, case.case_id) - {*case.files})
        if missing:
            raise PoolError(f"the line of case {case.case_id} lacks {missing[0]}", where=pool)
        check_case(pool, case)
    retired = read_retired(pool / RETIRED_FILE)
    for case_id, rejected in read_rejected(pool).items():
        if case_id not in retired:
            check_case(pool, rejected)
    return len(cases)
