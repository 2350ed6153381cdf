"""Checkpoints: weights, average, optimiser and step in one checked folder each; no pickle. How far a stage has come."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lldm_aug.errors import CheckpointError
from lldm_aug.io.atomic import atomic_folder, read_json_lines
from lldm_aug.io.records import read_json
from lldm_aug.io.weights import check_sums, load_tensors, save_tensors, write_sums


class Ema:
    """Averages a module's parameters.

    Args:
        module: the module, trainable and frozen parameters alike.
        decay: share of the average that a step keeps; early steps keep less, (1 + n) / (10 + n).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the average towards the module's parameters after a step (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = dict(module.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - decay)

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Lends the average to the module, which gets its own parameters back afterwards."""
        own = {name: p.detach().clone() for name, p in module.named_parameters()}
        _fill(module, self.average)
        try:
            yield
        finally:
            _fill(module, own)


@torch.no_grad()
def _fill(module: nn.Module, values: dict[str, torch.Tensor]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(values[name])


log = logging.getLogger(__name__)


def save_checkpoint(
    folder: Path, step: int, module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer, keep: int
) -> None:
    """Writes ``step_{step}`` whole, then removes the oldest beyond ``keep``."""
    with atomic_folder(folder / f"step_{step:08d}") as temporary:
        save_tensors(temporary / "model.safetensors", module.state_dict())
        save_tensors(temporary / "ema.safetensors", ema.average)
        save_tensors(temporary / "optimizer.safetensors", _optimizer_tensors(module, optimizer))
        (temporary / "state.json").write_text(json.dumps({"step": step}), encoding="utf-8")
        write_sums(temporary)
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, module: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> int:
    """Restores the newest checkpoint that is whole; returns its step, 0 if there is none."""
    for path in reversed(_checkpoints(folder)):
        try:
            check_sums(path)
        except CheckpointError as error:
            log.warning("skipping a damaged checkpoint: %s", error)
            continue
        module.load_state_dict(load_tensors(path / "model.safetensors"))
        for name, tensor in load_tensors(path / "ema.safetensors").items():
            ema.average[name].copy_(tensor)
        _restore_optimizer(module, optimizer, load_tensors(path / "optimizer.safetensors"))
        return int(read_json(path / "state.json")["step"])
    return 0


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step_*") if p.is_dir())


def _optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}:{name}"] = value
    return tensors


def _restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    parameters = dict(module.named_parameters())
    for key_and_name, value in tensors.items():
        key, _, name = key_and_name.partition(":")
        # Adam keeps its step counter on the CPU, everything else beside the parameter.
        place = torch.device("cpu") if value.ndim == 0 else parameters[name].device
        optimizer.state[parameters[name]][key] = value.to(place)


def trained_steps(folder: Path) -> int:
    """Steps that a stage has done, by the ``stats.jsonl`` in its folder; 0 without one."""
    return max((int(line["step"]) for line in read_json_lines(folder / "stats.jsonl")), default=0)


def trained_seconds(folder: Path) -> float:
    """Seconds that all its steps took, whatever the restarts; from the mean of those that were logged."""
    seconds = [float(line["seconds"]) for line in read_json_lines(folder / "stats.jsonl")]
    return trained_steps(folder) * sum(seconds) / len(seconds) if seconds else 0.0
