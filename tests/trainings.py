"""Weights that trainings leave, and command lines that train."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from lldm_aug.data.raw import RawDataset


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All exported weights in a folder."""
    return {f"{p.name}:{k}": v for p in sorted(folder.glob("*.safetensors")) for k, v in load_file(p).items()}


def assert_equal_weights(a: Path, b: Path) -> None:
    """Bit for bit."""
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


TWO_PROCESSES = (
    "accelerate.commands.launch",
    *("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"),
    *("-m", "lldm_aug"),
)


def command(dataset: RawDataset, out: Path, config: Path, *launcher: str) -> list[str]:
    """The command line that trains an autoencoder."""
    start = [sys.executable, "-m", *(launcher or ("lldm_aug",))]
    files = ["--data", str(dataset.folder), "--out", str(out), "--config", str(config)]
    return [*start, "train", "autoencoder", "--fold", "0", *files]
