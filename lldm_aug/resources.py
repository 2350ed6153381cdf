"""Where the installed presets and the embedded generator are."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """Folder of the YAML presets."""
    return _find("configs")


def pretrained_dir() -> Path:
    """Folder of the embedded generator."""
    return _find("pretrained")


def _find(name: str) -> Path:
    # Installed, both lie inside the package; in a source checkout, editable installs of it included, at its top.
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
