"""Values as a reader wants them."""

from __future__ import annotations

import re
from collections.abc import Mapping


def in_words(value: object) -> str:
    """Lists and mappings joined by commas, "none" for nothing, figures to four digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(v)}" for name, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def heading(name: str) -> str:
    """The name of a field as a heading."""
    return name.replace("_", " ")


def slug(name: str) -> str:
    """The name as a part of a file name that is safe on every system."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
