"""MedicalNet (arXiv 1904.00625): 3D residual networks that learned to segment medical volumes, from a local file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import resnet
from torch import nn

from lldm_aug.errors import CheckpointError
from lldm_aug.evaluation.measure.weights_file import fill_body, read_weights_file
from lldm_aug.io.hashing import sha256_file

HEAD = ("conv_seg", "fc")
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((1, 1, 1, 1), False): 10,
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
    ((3, 24, 36, 3), True): 200,
}
"""Blocks of the four levels, and whether they are bottlenecks: depth."""
PLAIN_SHORTCUTS = (18, 34)
"""Depths whose shortcuts have no weights."""


class MedicalNet:
    """A 3D ResNet of MONAI with MedicalNet's weights; features of the last level, averaged over the volume.

    The strides are those of a plain ResNet; MedicalNet itself dilates its last two levels instead.

    Args:
        path: the weights; their names tell the depth (10 to 200).
        device: where it runs.

    Raises:
        CheckpointError: when the weights fit no depth.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        tensors = read_weights_file(path)
        depth = _depth(tensors, path)
        plain = depth in PLAIN_SHORTCUTS
        with torch.device("meta"):
            self.network: nn.Module = getattr(resnet, f"resnet{depth}")(
                spatial_dims=3,
                n_input_channels=1,
                conv1_t_stride=2,
                shortcut_type="A" if plain else "B",
                bias_downsample=plain,
                feed_forward=False,
            )
        fill_body(self.network, tensors, HEAD, path)
        self.network.to(device)
        self.device = torch.device(device)
        self.name = f"MedicalNet ResNet{depth}"
        self.identity = f"medicalnet {sha256_file(path)}"

    @torch.inference_mode()
    def features(self, volumes: np.ndarray) -> np.ndarray:
        """(N, D) float32 features of (N, X, Y, Z) volumes, each brought to mean 0 and deviation 1."""
        return np.concatenate([self._one(torch.from_numpy(volume)) for volume in volumes])

    def _one(self, volume: torch.Tensor) -> np.ndarray:
        volume = volume.to(self.device)
        standard = (volume - volume.mean()) / volume.std().clamp(min=1e-6)
        return np.asarray(self.network(standard[None, None]).float().cpu().numpy())


def _depth(tensors: Mapping[str, torch.Tensor], path: Path) -> int:
    blocks = {found[1] for name in tensors if (found := re.match(r"(layer[1-4]\.\d+)\.", name))}
    counts = Counter(block.partition(".")[0] for block in blocks)
    key = tuple(counts[f"layer{level}"] for level in (1, 2, 3, 4))
    bottlenecks = any(name.endswith(".conv3.weight") for name in tensors)
    depth = DEPTHS.get((key, bottlenecks))
    if depth is None:
        what = f"no MedicalNet: blocks {', '.join(map(str, key))} in its four levels"
        raise CheckpointError(what, where=path, fix="give weights such as resnet_10.pth or resnet_50_23dataset.pth")
    return depth
