"""What was wrong with a setting, in words: its dotted key, where it was written, and the nearest one that exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lldm_aug.errors import ConfigError

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that a model, or a dataclass in it, does not have."""


def explain(error: ValidationError, model: type[BaseModel], places: Mapping[tuple[str, ...], str]) -> ConfigError:
    """The error of a settings file as one sentence about its first fault (and the number of others)."""
    # An unknown key first: it is often the cause of the others.
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] not in UNKNOWN_KEY)
    path = tuple(str(part) for part in faults[0]["loc"])
    what, fix = _sentence(faults[0], ".".join(path), model)
    if len(faults) > 1:
        what += f" (and {len(faults) - 1} more)"
    place = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)
    return ConfigError(what, where=place, fix=fix)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Advice that names the word meant, if one is near."""
    close = get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f"the nearest is {close[0]!r}" if close else None


def dotted_keys(model: type, prefix: str = "") -> Iterator[str]:
    """Every key of a model and of the models and dataclasses inside it."""
    for name, annotation in _annotations(model).items():
        yield f"{prefix}{name}"
        for inner in _models(annotation):
            yield from dotted_keys(inner, f"{prefix}{name}.")


def _annotations(model: type) -> dict[str, Any]:
    if issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    hints = get_type_hints(model)
    return {name: hints[name] for name in getattr(model, "__dataclass_fields__", ())}


def _models(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _sentence(fault: ErrorDetails, key: str, model: type[BaseModel]) -> tuple[str, str | None]:
    if fault["type"] in UNKNOWN_KEY:
        return f"unknown key {key!r}", _nearest_key(key, model)
    message = fault["msg"].removeprefix("Value error, ")
    got = "" if isinstance(fault["input"], dict) else f", got {_short(fault['input'])}"
    if not key:
        return message, None
    return f"{key}: {message[0].lower()}{message[1:]}{got}", None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest_key(key: str, model: type[BaseModel]) -> str | None:
    keys = list(dotted_keys(model))
    section, _, name = key.rpartition(".")
    siblings = [k for k in keys if k.rpartition(".")[0] == section]
    # Its own section first, then a key of that name elsewhere, then anything alike.
    elsewhere = [k for k in keys if k.rpartition(".")[2] == name]
    return nearest(key, siblings) or nearest(key, elsewhere) or nearest(key, keys)
