"""Weights of feature networks that others trained, from a file on this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from lldm_aug.errors import CheckpointError, ConfigError
from lldm_aug.io.weights import fill, load_tensors

COUNTER = "num_batches_tracked"


def read_weights_file(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name of a .safetensors file, or of a PyTorch file, in which no code is run.

    What wraps the tensors is taken off: a ``state_dict`` entry, and ``module.`` before each name.

    Raises:
        CheckpointError: when it cannot be read, or holds anything but tensors.
    """
    tensors: Any = load_tensors(path) if path.suffix == ".safetensors" else _load(path)
    if isinstance(tensors, Mapping):
        tensors = tensors.get("state_dict", tensors)
    if not isinstance(tensors, Mapping) or not all(isinstance(t, torch.Tensor) for t in tensors.values()):
        raise CheckpointError("no tensors by name", where=path, fix="give a file with a state dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}


def fill_body(network: nn.Module, tensors: Mapping[str, torch.Tensor], head: Collection[str], where: Path) -> None:
    """Fills a network whose head was taken off, strictly, and freezes it.

    Args:
        network: on the meta device.
        tensors: weights by name.
        head: first parts of the names of weights that features don't need; they may be there or not.
        where: the file, for errors.

    Raises:
        CheckpointError: names what is missing or unexpected.
    """
    body = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in head}
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(COUNTER)}  # older files lack it
    try:
        fill(network, counters | body, where)
    except CheckpointError as error:
        fix = "give the weights of the network that --network names"
        raise CheckpointError(error.what, where=where, fix=fix) from error
    network.eval().requires_grad_(False)


def torchvision_models() -> ModuleType:
    """``torchvision.models``.

    Raises:
        ConfigError: when it is not installed.
    """
    try:
        from torchvision import models
    except ImportError as error:
        what = "this feature network needs the package torchvision"
        raise ConfigError(what, fix="run: pip install torchvision") from error
    assert isinstance(models, ModuleType)
    return models


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged or foreign file
        reason = " ".join(str(error).split())[:120]
        fix = "give a state dict, as .pth, .pt or .safetensors"
        raise CheckpointError(f"cannot be read ({reason})", where=path, fix=fix) from error
