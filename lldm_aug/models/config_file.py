"""``config.json``, in which a model's folder holds the model's description."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError, model_validator

from lldm_aug.errors import CheckpointError
from lldm_aug.record import Record

CONFIG_FILE = "config.json"

FORMAT_VERSION = 1


class VersionedDescription(Record):
    """What every model's ``config.json`` begins with.

    Args:
        format_version: version of the folder's layout; a later one is refused.
        lldm_aug_version: version that wrote it.
    """

    folder: ClassVar[str] = "a model's folder"
    """The kind of folder that it lies in, in words."""

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str

    @model_validator(mode="after")
    def _known_version(self) -> Self:
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"format {self.format_version} is of a later version; update lldm_aug")
        return self

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description in a model's folder.

        Raises:
            CheckpointError: when it is missing or invalid.
        """
        path = folder / CONFIG_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise CheckpointError(f"no {CONFIG_FILE}", where=folder, fix=f"point to {cls.folder}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "invalid"
            raise CheckpointError(f"{place}: {first['msg']}", where=path) from error


def generator_folder(path: Path) -> Path:
    """A generator's folder, given it or the run folder that holds it.

    Raises:
        CheckpointError: when there is none.
    """
    for folder in (path, path / "generator"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise CheckpointError("no generator", where=path, fix="finish 'lldm-aug train controlnet', or give another folder")
