"""Checks that the files of a pool are those that its manifest names."""

from __future__ import annotations

from pathlib import Path

from lldm_aug.errors import PoolError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.pool.manifest import FileRecord, PoolCase, read_cases, read_info


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
            raise PoolError("missing", where=path, fix="run 'lldm-aug generate' again to complete the pool")
        if path.stat().st_size != record.size or (full and sha256_file(path) != record.sha256):
            raise PoolError("differs from its manifest line", where=path, fix="delete it and its line, then generate again")


def verify_pool(pool: Path) -> int:
    """Checks every file of a pool by its hash; returns the number of cases.

    Raises:
        PoolError: as `check_case`, or when ``pool.json`` or the manifest is invalid.
    """
    read_info(pool)
    cases = read_cases(pool)
    for case in cases.values():
        check_case(pool, case)
    return len(cases)
