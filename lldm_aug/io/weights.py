"""Weights and descriptions in checked folders: safetensors, JSON and ``SHA256SUMS``; no pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Box
from lldm_aug.io.hashing import sha256_file

SUMS_FILE = "SHA256SUMS"


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None = None) -> None:
    """Writes tensors by name, floating ones as ``dtype`` if given."""
    whole = {
        name: t.detach().to("cpu", dtype if dtype is not None and t.is_floating_point() else t.dtype).contiguous()
        for name, t in tensors.items()
    }
    path.write_bytes(save(whole))  # safetensors' own writer makes files that only their owner may read


def load_tensors(path: Path, names: Collection[str] | None = None, box: Box | None = None) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, or those of these names alone, on the CPU.

    Args:
        path: the file.
        names: of the tensors; None for all.
        box: part of their last three dimensions, nothing else of which is read; None for all.

    Raises:
        CheckpointError: when the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            if box is None:
                return {name: file.get_tensor(name) for name in names or file.keys()}
            parts = {name: file.get_slice(name) for name in names or file.keys()}
            return {name: part[(*[slice(None)] * (len(part.get_shape()) - 3), *box)] for name, part in parts.items()}
    except Exception as error:  # safetensors raises its own kinds, and OSError
        raise CheckpointError(f"cannot be read ({error})", where=path, fix="copy or make the folder again") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fills a module, on the meta device or any other, from a file, strictly: same names and shapes, finite values.

    Raises:
        CheckpointError: when the file does not fit the module.
    """
    fill(module, load_tensors(path), path)


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], where: object) -> None:
    """As `load_weights`, from tensors by name; ``where`` is named in errors."""
    expected = module.state_dict()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        raise CheckpointError(f"weights do not fit: missing {missing[:3]}, unexpected {extra[:3]}", where=where)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(f"{name} is {tuple(tensor.shape)}, not {tuple(expected[name].shape)}", where=where)
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name} holds NaN or infinity", where=where)
    # Copied, for what the file's mapping lends is not aligned, and would change with the file.
    weights = {name: t.to(expected[name].dtype, copy=True) for name, t in tensors.items()}
    module.load_state_dict(weights, assign=any(t.is_meta for t in expected.values()))


def write_sums(folder: Path) -> None:
    """Writes the hashes of all files of a folder but its card, as ``sha256sum`` prints them."""
    names = sorted(p.name for p in folder.iterdir() if p.name not in (SUMS_FILE, "README.md"))
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> str:
    """Checks every file against ``SHA256SUMS``; returns the hash of the list itself, the folder's identity.

    Raises:
        CheckpointError: names the file that is missing, has changed, or is not in the list.
    """
    path = folder / SUMS_FILE
    if not path.is_file():
        raise CheckpointError(f"no {SUMS_FILE}", where=folder, fix="point to a folder made by 'lldm-aug train'")
    unlisted = {p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".json")}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        unlisted.discard(name)
        file = folder / name
        if not name or "/" in name or "\\" in name or not file.is_file():
            raise CheckpointError(f"{SUMS_FILE} names {name!r}, which is not there", where=folder)
        if sha256_file(file) != digest:
            raise CheckpointError("has changed since it was made", where=file, fix="copy or make the folder again")
    if unlisted:
        raise CheckpointError(f"{SUMS_FILE} does not name {min(unlisted)}", where=folder, fix="copy the folder again")
    return sha256_file(path)
