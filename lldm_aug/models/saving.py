"""How every model fills its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from lldm_aug.io.weights import save_tensors, write_sums
from lldm_aug.models.config_file import CONFIG_FILE
from lldm_aug.record import Record


def write_model(
    folder: Path, description: Record, networks: Mapping[str, nn.Module], dtype: torch.dtype | None = None
) -> None:
    """Writes ``config.json``, the weights and the hashes of both into an empty folder.

    Args:
        folder: exists.
        description: everything but the weights.
        networks: by the name of the file that their weights go to.
        dtype: type of the stored weights; None for that of the networks.
    """
    (folder / CONFIG_FILE).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for name, network in networks.items():
        save_tensors(folder / name, network.state_dict(), dtype)
    write_sums(folder)
