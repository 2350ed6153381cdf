"""Settings from their layers: defaults < preset or base < file < ``--set``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lldm_aug.config.explain import explain, nearest
from lldm_aug.config.override import merge, parse_override
from lldm_aug.config.schema import Config
from lldm_aug.config.strict_yaml import MAX_BYTES, Parsed, parse_yaml
from lldm_aug.errors import ConfigError
from lldm_aug.resources import configs_dir

BASE = "base"
Model = TypeVar("Model", bound=BaseModel)


def load_config(source: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """The settings of a generator and its training.

    Args:
        source: name of a preset, or a YAML file; None for the defaults.
        overrides: ``a.b=c`` each, in order.

    Raises:
        ConfigError: for an unknown preset or key, a value of the wrong type or out of range, or unreadable YAML.
    """
    return load_model(Config, source, overrides)


def load_model(model: type[Model], source: str | Path | None, overrides: Sequence[str] = ()) -> Model:
    """As `load_config`, for any pydantic model."""
    document = Parsed({}) if source is None else _read_layers(_locate(source, Path()), ())
    return _validated(model, document, overrides)


def with_overrides(settings: Model, overrides: Sequence[str]) -> Model:
    """Settings with ``a.b=c`` each, in order; errors as `load_config`."""
    return _validated(type(settings), Parsed(settings.model_dump(mode="json")), overrides)


def _validated(model: type[Model], document: Parsed, overrides: Sequence[str]) -> Model:
    for text in overrides:
        document = merge(document, parse_override(text))
    try:
        # Strict JSON rules: no text taken for a number, no number for a truth value, but lists for tuples.
        return model.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        raise explain(error, model, document.places) from error


def resolved_yaml(config: BaseModel) -> str:
    """All settings as YAML, which `load_config` reads back to an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _locate(source: str | Path, folder: Path) -> Path:
    """The file of a preset's name, or of a path relative to a folder."""
    if isinstance(source, Path) or Path(source).suffix in (".yaml", ".yml") or len(Path(source).parts) != 1:
        return folder / Path(source).expanduser()
    presets = {path.stem: path for path in sorted(configs_dir().glob("*.yaml"))}
    if source not in presets:
        known = ", ".join(presets) or "none"
        fix = nearest(source, presets) or "give the path of a .yaml file"
        raise ConfigError(f"no preset {source!r}; there are {known}", fix=fix)
    return presets[source]


def _read_layers(path: Path, above: tuple[Path, ...]) -> Parsed:
    """A file merged over the files that its ``base`` names."""
    if path.resolve() in above:
        raise ConfigError("its base leads back to itself", where=path, fix="remove one 'base'")
    document = _read(path)
    if BASE not in document.value:
        return document
    base = document.value.pop(BASE)
    if not isinstance(base, str) or not base:
        raise ConfigError(f"base is {base!r}; a preset's name or a file is needed", where=document.places[(BASE,)])
    return merge(_read_layers(_locate(base, path.parent), (*above, path.resolve())), document)


def _read(path: Path) -> Parsed:
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=path) from error
    except ValueError as error:
        raise ConfigError("not UTF-8 text", where=path) from error
    document = parse_yaml(text, str(path))
    if document.value is None:
        return Parsed({})
    if not isinstance(document.value, dict):
        raise ConfigError("not a mapping of settings", where=path)
    return document
