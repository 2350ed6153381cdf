"""Writing so that a file or folder appears whole under its final name, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def _partial(path: Path) -> Path:
    # In the same folder, so that the rename stays on one file system. Hidden, and not ending as nnU-Net's cases do: one
    # that a crash leaves behind must not be taken for a case.
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}.partial")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is flushed to disk and renamed, on failure removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(path)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside ``path`` that takes its place on success; an older one is removed last.

    Between the two renames that replace an older folder there is, for an instant, none of that name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _partial(path), _partial(path)
    temporary.mkdir()
    try:
        yield temporary
        for entry in (temporary, *temporary.rglob("*")):
            _sync(entry)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes an indented JSON file atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_json_line(path: Path, value: Any) -> None:
    """Appends one JSON line in one write, then flushes it to disk: other processes may append to the same file.

    Raises:
        OSError: when the disk is full; the torn line is ignored by `read_json_lines`.
    """
    line = (json.dumps(value, separators=(",", ":")) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        is_new = os.fstat(descriptor).st_size == 0
        if not is_new and not _ends_with_newline(path):
            line = b"\n" + line  # a line torn by a crash must not swallow this one
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _sync(path.parent)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def read_json_lines(path: Path) -> list[Any]:
    """All whole lines of a JSON-lines file; a missing file has none, a line torn by a crash is ignored."""
    if not path.exists():
        return []
    values = []
    for line in path.read_bytes().split(b"\n"):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return values
