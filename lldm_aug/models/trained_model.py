"""How every trained model lies in its folder: ``config.json``, safetensors and the hashes of both.

On the CPU its convolutions run faster, one sample at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from lldm_aug.io.atomic import atomic_folder
from lldm_aug.io.weights import check_sums, load_weights, save_tensors, write_sums
from lldm_aug.models.config_file import CONFIG_FILE, VersionedDescription


class OneDnnConv3d(nn.Conv3d):
    """A convolution that always runs in oneDNN on the CPU.

    PyTorch's own choice sends a small float32 batch of one to a plain loop, which takes about twice as long for the
    denoiser; the results agree to rounding. Convolutions of one voxel are left to it: they are matrix products.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See `torch.nn.Conv3d`."""
        stock = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if stock or isinstance(self.padding, str):
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def prefer_onednn(network: nn.Module) -> None:
    """Turns the 3D convolutions of a network into `OneDnnConv3d`, weights and names unchanged."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        if type(module) is nn.Conv3d and module.padding_mode == "zeros" and max(module.kernel_size) > 1:
            module.__class__ = OneDnnConv3d


@dataclass(frozen=True)
class TrainedModel(ABC):
    """A trained model.

    Args:
        description: everything but the weights.
        hash: identity of the folder that it was loaded from.
    """

    described_by: ClassVar[type[VersionedDescription]]

    description: VersionedDescription
    hash: str = field(default="", kw_only=True)

    @classmethod
    @abstractmethod
    def untrained(cls, description: Any) -> Self:
        """Networks of the right sizes, weights as initialised."""

    @property
    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks, by the file that holds the weights of each."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads and checks a model's folder.

        Raises:
            CheckpointError: when a file is missing, has changed by a byte, or does not fit.
        """
        identity = check_sums(folder)
        with torch.device("meta"):  # takes no memory: a description may ask for far more than its weights fill
            empty = cls.untrained(cls.described_by.read(folder))
        for name, network in empty.networks.items():
            load_weights(network, folder / name)
            prefer_onednn(network.eval())
        return replace(empty, hash=identity)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Writes the folder atomically; an older model there is replaced.

        Args:
            folder: where.
            dtype: type of the stored weights; None for that of the networks. Half precision halves the size.
        """
        with atomic_folder(folder) as temporary:
            self.write(temporary, dtype)

    def write(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Fills an empty folder, as `save` does."""
        (folder / CONFIG_FILE).write_text(self.description.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for name, network in self.networks.items():
            save_tensors(folder / name, network.state_dict(), dtype)
        write_sums(folder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(p.device for network in self.networks.values() for p in network.parameters())

    def to(self, device: torch.device | str) -> Self:
        """Moves the weights in place; returns itself."""
        for network in self.networks.values():
            network.to(device)
        return self
