"""Networks of slices that others trained, from a local file: Inception v3 and those of RadImageNet.

Inception v3 (arXiv 1512.00567) is the usual feature network of FID, here as torchvision builds it. RadImageNet's
networks (doi 10.1148/ryai.210315) were trained on radiological slices. Three kinds of files of theirs go about: the
authors' PyTorch files, whose names count a network's parts (``backbone.4.0...``); the same with torchvision's names;
and weights that came from Keras, where ResNet50 has biases before its normalisation, strides in the first convolution
of a block, and an input from which a mean is subtracted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lldm_aug.evaluation.measure.features import Colour, SliceNetwork
from lldm_aug.evaluation.measure.weights_file import fill_body, read_weights_file, torchvision_models
from lldm_aug.io.hashing import sha256_file

INCEPTION_SIDE = 299
HALF: Colour = (0.5, 0.5, 0.5)
"""Mean and deviation that bring [0, 1] to [-1, 1], on which Inception was trained."""
HEAD = ("fc", "AuxLogits")
RESNET_SIDE = 224
KERAS_MEAN: Colour = (0.406, 0.456, 0.485)
KERAS_EPSILON = 1.001e-5
ONE: Colour = (1.0, 1.0, 1.0)

Tensors = dict[str, torch.Tensor]


def inception(path: Path, device: torch.device | str = "cpu") -> SliceNetwork:
    """Inception v3 with ImageNet weights, such as torchvision's or pytorch-fid's: 2048 features of 299 x 299 slices.

    Pooling is torchvision's whoever trained the weights, so that values are near pytorch-fid's, but not equal.

    Raises:
        CheckpointError: when the weights do not fit.
        ConfigError: when torchvision is not installed.
    """
    network = empty_inception()
    fill_body(network, read_weights_file(path), HEAD, path)
    return SliceNetwork(network.to(device), "Inception v3", sha256_file(path), INCEPTION_SIDE, HALF, HALF, device)


def empty_inception() -> nn.Module:
    """The network without classifiers, on the meta device."""
    with torch.device("meta"):
        network: Any = torchvision_models().inception_v3(weights=None, aux_logits=False, init_weights=False)
    network.fc = nn.Identity()
    assert isinstance(network, nn.Module)
    return network


def radimagenet(path: Path, device: torch.device | str = "cpu") -> SliceNetwork:
    """ResNet50 or Inception v3 of RadImageNet, whichever the file holds: 2048 features.

    Raises:
        CheckpointError: when the weights fit neither.
        ConfigError: when torchvision is not installed.
    """
    tensors = read_weights_file(path)
    if {"backbone.0.conv.weight", "Conv2d_1a_3x3.conv.weight"} & tensors.keys():
        network, side, mean, std = empty_inception(), INCEPTION_SIDE, HALF, HALF
        named, kind = _named(tensors, network), "Inception v3"
    else:
        network, side, mean, std = _empty_resnet(), RESNET_SIDE, HALF, HALF
        named, kind = _named(tensors, network), "ResNet50"
        if "conv1.bias" in named:
            named, mean, std = _without_biases(named), KERAS_MEAN, ONE
            _as_in_keras(network)
    fill_body(network, named, HEAD, path)
    return SliceNetwork(network.to(device), f"{kind} (RadImageNet)", sha256_file(path), side, mean, std, device)


def _empty_resnet() -> nn.Module:
    with torch.device("meta"):
        network: Any = torchvision_models().resnet50(weights=None)
    network.fc = nn.Identity()
    assert isinstance(network, nn.Module)
    return network


def _named(tensors: Mapping[str, torch.Tensor], network: nn.Module) -> Tensors:
    """Torchvision's names in place of ``backbone.`` and a part's number."""
    parts = [name for name, _ in network.named_children()]

    def name(key: str) -> str:
        found = re.fullmatch(r"backbone\.(\d+)\.(.+)", key)
        return f"{parts[int(found[1])]}.{found[2]}" if found and int(found[1]) < len(parts) else key

    return {name(key): tensor for key, tensor in tensors.items()}


def _without_biases(tensors: Tensors) -> Tensors:
    """Biases of convolutions, moved into the means of the normalisations that follow, which does the same."""
    folded = dict(tensors)
    for key in [key for key in tensors if re.search(r"(conv\d|downsample\.0)\.bias$", key)]:
        norm = re.sub(r"conv(\d)\.bias$", r"bn\1", key).replace("downsample.0.bias", "downsample.1")
        mean = f"{norm}.running_mean"
        if mean in folded:
            folded[mean] = folded[mean] - folded.pop(key)
    return folded


def _as_in_keras(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = KERAS_EPSILON
        if isinstance(module, nn.Conv2d) and re.fullmatch(r"layer[234]\.0\.conv[12]", name):
            module.stride = (2, 2) if name.endswith("conv1") else (1, 1)
