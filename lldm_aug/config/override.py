"""``--set a.b=c``: one setting from the command line."""

from __future__ import annotations

import re
from typing import Any

from lldm_aug.config.strict_yaml import Parsed, parse_yaml
from lldm_aug.errors import ConfigError

_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def parse_override(text: str) -> Parsed:
    """``a.b=c`` as the nested mapping ``{a: {b: c}}``; the value is a YAML scalar or list.

    Raises:
        ConfigError: when there is no dotted key, no ``=``, or no such value.
    """
    where = f"--set {text}"
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key.strip()):
        raise ConfigError("not of the form key=value", where=where, fix="write for instance --set sampling.steps=5")
    if not value.strip():
        raise ConfigError("no value", where=where, fix="write null for none")
    parsed = parse_yaml(value, where).value
    if isinstance(parsed, dict):
        raise ConfigError("a mapping cannot be set", where=where, fix="set its keys one by one")
    parts = tuple(key.strip().split("."))
    for part in reversed(parts):
        parsed = {part: parsed}
    return Parsed(parsed, {parts[: i + 1]: where for i in range(len(parts))})


def merge(below: Parsed, above: Parsed) -> Parsed:
    """One document over another: mappings are merged, everything else is replaced."""
    places = {**below.places, **above.places}
    return Parsed(_merged(below.value, above.value), places)


def _merged(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    both = {key: _merged(below[key], above[key]) for key in below.keys() & above.keys()}
    return {**below, **above, **both}
