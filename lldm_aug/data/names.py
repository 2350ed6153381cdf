"""Names from files and users that become parts of paths: they may not leave their folder."""

from __future__ import annotations

import re

from lldm_aug.errors import DatasetError

_SAFE = re.compile(r"\w[\w.+ -]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows
MAX_BYTES = 200  # file systems take 255, suffixes included


def safe_name(name: str, what: str = "case id") -> str:
    """Returns the name if it is safe as one path component on every system.

    Raises:
        DatasetError: for separators, leading dots, drive letters, control characters and the like.
    """
    plain = _SAFE.fullmatch(name) and not _RESERVED.fullmatch(name)
    if not plain or ".." in name or name.endswith((" ", ".")) or len(name.encode()) > MAX_BYTES:
        shown = repr(name) if len(name) <= 60 else f"{name[:57]!r}..."
        raise DatasetError(f"{what} {shown} is not a plain name", fix="use letters, digits, '_', '-', '.' and '+'")
    return name
