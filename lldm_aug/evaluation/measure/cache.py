"""What was computed once is kept on disk, under a hash of everything that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from lldm_aug.io.atomic import append_json_line, atomic_file, read_json_lines
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.record import Record

R = TypeVar("R", bound=Record)


def content_key(*parts: str | np.ndarray) -> str:
    """SHA-256 of words and arrays, their shapes included."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


class ArrayCache:
    """Arrays by name, one safetensors file a key.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays of a key, computed if they are not there."""
        path = self.folder / f"{key}.safetensors"
        if not path.is_file():
            computed = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in compute().items()}
            with atomic_file(path) as temporary:
                save_tensors(temporary, computed)
        return {name: tensor.numpy() for name, tensor in load_tensors(path).items()}


class RecordCache(Generic[R]):
    """Records, one JSON line a key.

    Args:
        path: the file.
        kind: of the records.
    """

    def __init__(self, path: Path, kind: type[R]) -> None:
        self.path = path
        self.kind = kind
        path.parent.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, Any] = {line["key"]: line["value"] for line in read_json_lines(path)}

    def get(self, key: str, compute: Callable[[], R]) -> R:
        """The record of a key, computed if it is not there."""
        if key not in self._known:
            self._known[key] = compute().model_dump(mode="json")
            append_json_line(self.path, {"key": key, "value": self._known[key]})
        return self.kind.model_validate(self._known[key])
