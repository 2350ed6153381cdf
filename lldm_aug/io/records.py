"""JSON records, and folders that are only gone on with by the settings that they were begun with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from lldm_aug.errors import CheckpointError, IncompatibleResume, LldmAugError
from lldm_aug.io.atomic import read_json_lines

MOST_CHARACTERS = 40
"""Of a value in a message."""
MOST_CHANGES = 3
"""Of a group that are named one by one."""

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def read_json(
    path: Path, *, error: type[LldmAugError] = CheckpointError, fix: str | None = "copy or make the folder again"
) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        error: raised, with ``fix``, when the file is missing or holds no JSON object.
        fix: what can be done about it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise error(f"cannot be read ({_in_words(fault)})", where=path, fix=fix) from fault
    except (ValueError, RecursionError) as fault:
        raise error(f"not valid JSON ({_in_words(fault)})", where=path, fix=fix) from fault
    if not isinstance(content, dict):
        raise error("not a mapping, which is a JSON object", where=path, fix=fix)
    return content


def read_record(
    kind: type[AnyRecord],
    path: Path,
    *,
    error: type[LldmAugError] = CheckpointError,
    fix: str | None = "copy or make the folder again",
) -> AnyRecord:
    """The record in a JSON file; arguments and errors as `read_json`."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise error(f"cannot be read ({_in_words(fault)})", where=path, fix=fix) from fault
    except ValueError as fault:
        raise error(f"invalid ({_in_words(fault)})", where=path, fix=fix) from fault


def read_records(kind: type[AnyRecord], path: Path, *, error: type[LldmAugError] = CheckpointError) -> list[AnyRecord]:
    """The records in a file of JSON lines, see `read_json_lines`; raises ``error`` when a line is no valid record."""
    try:
        return [kind.model_validate(line) for line in read_json_lines(path)]
    except OSError as fault:
        raise error(f"cannot be read ({_in_words(fault)})", where=path) from fault
    except ValueError as fault:
        raise error(f"invalid line ({_in_words(fault)})", where=path) from fault


def _in_words(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return (fault.strerror or str(fault)).lower()
    first = getattr(fault, "errors", lambda: ())()[:1]  # of pydantic's many lines, the first fault
    return ".".join(map(str, first[0]["loc"])) + ": " * bool(first[0]["loc"]) + first[0]["msg"] if first else str(fault)


def refuse_changes(
    where: object,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    fix: str = "use the same settings, or another --out",
) -> None:
    """Makes sure that work goes on with what it was begun with.

    Args:
        where: what is gone on with.
        before: all that decides its result, as it was at the beginning.
        now: the same as it is now.
        fix: what can be done about a difference.

    Raises:
        IncompatibleResume: names what differs, with both values.
    """
    changed = list(_changes(before, json.loads(json.dumps(now))))  # tuples become lists, as they have in a file
    if changed:
        raise IncompatibleResume(f"was begun with other settings: {', '.join(changed)}", where=where, fix=fix)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            inner = list(_changes(one, other, f"{prefix}{key}."))
            yield from inner if len(inner) <= MOST_CHANGES else [f"{prefix}{key} ({len(inner)} differ)"]
        elif one != other:
            yield f"{prefix}{key} {_shown(one)} -> {_shown(other)}"


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
