"""Inception v3 (arXiv 1512.00567) as torchvision builds it, the usual feature network of FID, from a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lldm_aug.evaluation.features import Colour, SliceNetwork
from lldm_aug.evaluation.weights_file import fill_body, read_weights_file, torchvision_models
from lldm_aug.io.hashing import sha256_file

SIDE = 299
HALF: Colour = (0.5, 0.5, 0.5)
"""Mean and deviation that bring [0, 1] to [-1, 1], on which Inception was trained."""
HEAD = ("fc", "AuxLogits")


def inception(path: Path, device: torch.device | str = "cpu") -> SliceNetwork:
    """Inception v3 with ImageNet weights, such as torchvision's or pytorch-fid's: 2048 features of 299 x 299 slices.

    Pooling is torchvision's whoever trained the weights, so that values are near pytorch-fid's, but not equal.

    Raises:
        CheckpointError: when the weights do not fit.
        ConfigError: when torchvision is not installed.
    """
    network = empty_inception()
    fill_body(network, read_weights_file(path), HEAD, path)
    return SliceNetwork(network.to(device), "Inception v3", sha256_file(path), SIDE, HALF, HALF, device)


def empty_inception() -> nn.Module:
    """The network without classifiers, on the meta device."""
    with torch.device("meta"):
        network: Any = torchvision_models().inception_v3(weights=None, aux_logits=False, init_weights=False)
    network.fc = nn.Identity()
    assert isinstance(network, nn.Module)
    return network
