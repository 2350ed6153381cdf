"""YAML without its traps: no duplicate keys, aliases, tags or code, and `1e-4` is a number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from lldm_aug.errors import ConfigError

MAX_BYTES = 2**20
Path = tuple[str, ...]


@dataclass(frozen=True)
class Parsed:
    """A YAML document.

    Args:
        value: plain Python: dict, list, str, int, float, bool or None.
        places: ``file:line`` of each key, by its path from the top.
    """

    value: Any
    places: dict[Path, str] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """Scalars of YAML 1.2's core schema, so that ``no`` is a word, ``1e-4`` a number and ``010`` not eight."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own design)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


_CORE_SCHEMA = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]{0,99})",
    "float": r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
for _tag, _pattern in _CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), None)


def parse_yaml(text: str, where: str) -> Parsed:
    """Parses one document.

    Args:
        text: the document; an empty one gives None.
        where: what to call it in messages, such as its file name.

    Raises:
        ConfigError: for malformed YAML, duplicate or non-text keys, aliases, tags, NaN, infinity, absurd nesting.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES} bytes", where=where)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        places: dict[Path, str] = {}
        return Parsed(None if node is None else _construct(loader, node, (), where, places), places)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, where) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not readable as YAML ({' '.join(str(error).split())})", where=where) from error
    except RecursionError as error:
        raise ConfigError("nested too deeply", where=where) from error


def _construct(loader: _Loader, node: yaml.Node, path: Path, where: str, places: dict[Path, str]) -> Any:
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, place = key_node.value, f"{where}:{key_node.start_mark.line + 1}"
            if key_node.tag != "tag:yaml.org,2002:str":
                raise ConfigError("a key is not text", where=place, fix="write it as a word, or in quotes")
            if key in mapping:
                raise ConfigError(f"duplicate key {'.'.join((*path, key))!r}", where=place, fix="keep one of them")
            places[*path, key] = place
            mapping[key] = _construct(loader, value_node, (*path, key), where, places)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*path, str(i)), where, places) for i, item in enumerate(node.value)]
    value = loader.construct_object(node)
    if isinstance(value, float) and not math.isfinite(value):
        place = f"{where}:{node.start_mark.line + 1}"
        raise ConfigError(f"{'.'.join(path) or 'value'} is {value}; a finite number is needed", where=place)
    return value


def _syntax_error(error: yaml.MarkedYAMLError, where: str) -> ConfigError:
    mark = error.problem_mark
    place = where if mark is None else f"{where}:{mark.line + 1}"
    problem = (error.problem or "malformed").replace("'\\t'", "TAB")
    fix = "indent with spaces" if "TAB" in problem else None
    return ConfigError(f"not readable as YAML: {problem}", where=place, fix=fix)
