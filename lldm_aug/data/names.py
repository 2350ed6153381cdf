"""Names from files and users that become parts of paths: they may not leave their folder."""

from __future__ import annotations

import re

from lldm_aug.errors import DatasetError

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*")


def safe_name(name: str, what: str = "case id") -> str:
    """Returns the name if it is safe as one path component on every system.

    Raises:
        DatasetError: for separators, leading dots, drive letters, control characters and the like.
    """
    if not _SAFE.fullmatch(name) or ".." in name or name.endswith((" ", ".")) or len(name) > 200:
        raise DatasetError(f"{what} {name!r} is not a plain name", fix="use letters, digits, '_', '-', '.' and '+'")
    return name
