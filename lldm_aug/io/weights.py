"""Weights and descriptions in checked folders: safetensors, JSON and ``SHA256SUMS``; no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import nn

from lldm_aug.errors import CheckpointError
from lldm_aug.io.hashing import sha256_file

SUMS_FILE = "SHA256SUMS"


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None = None) -> None:
    """Writes tensors by name, floating ones as ``dtype`` if given."""
    whole = {
        name: t.detach().to("cpu", dtype if dtype is not None and t.is_floating_point() else t.dtype).contiguous()
        for name, t in tensors.items()
    }
    path.write_bytes(save(whole))  # safetensors' own writer makes files that only their owner may read


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: when the file is missing or damaged.
    """
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own kinds, and OSError
        raise CheckpointError(f"cannot be read ({error})", where=path, fix="copy or make the folder again") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fills a module from a safetensors file, strictly: same names, same shapes, finite values.

    Raises:
        CheckpointError: when the file does not fit the module.
    """
    tensors = load_tensors(path)
    expected = module.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise CheckpointError(f"weights do not fit: missing {missing[:3]}, unexpected {extra[:3]}", where=path)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(f"{name} is {tuple(tensor.shape)}, not {tuple(expected[name].shape)}", where=path)
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name} holds NaN or infinity", where=path)
    module.load_state_dict({name: t.to(expected[name].dtype) for name, t in tensors.items()})


def write_sums(folder: Path) -> None:
    """Writes the hashes of all files of a folder but its card, as ``sha256sum`` prints them."""
    names = sorted(p.name for p in folder.iterdir() if p.name not in (SUMS_FILE, "README.md"))
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> str:
    """Checks every file that ``SHA256SUMS`` names; returns the hash of the list itself, the folder's identity.

    Raises:
        CheckpointError: names the file that is missing or has changed.
    """
    path = folder / SUMS_FILE
    if not path.is_file():
        raise CheckpointError(f"no {SUMS_FILE}", where=folder, fix="point to a folder made by 'lldm-aug train'")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        file = folder / name
        if not name or "/" in name or "\\" in name or not file.is_file():
            raise CheckpointError(f"{SUMS_FILE} names {name!r}, which is not there", where=folder)
        if sha256_file(file) != digest:
            raise CheckpointError("has changed since it was made", where=file, fix="copy or make the folder again")
    return sha256_file(path)
