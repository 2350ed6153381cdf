"""Feature networks that others trained, from a local file: Inception v3, those of RadImageNet, and MedicalNet.

Inception v3 (arXiv 1512.00567) is the usual feature network of FID, here as torchvision builds it. RadImageNet's
networks (doi 10.1148/ryai.210315) were trained on radiological slices. Three kinds of files of theirs go about: the
authors' PyTorch files, whose names count a network's parts (``backbone.4.0...``); the same with torchvision's names;
and weights that came from Keras, where ResNet50 has biases before its normalisation, strides in the first convolution
of a block, and an input from which a mean is subtracted. MedicalNet's 3D residual networks (arXiv 1904.00625) learned
to segment medical volumes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from monai.networks.nets import resnet
from torch import nn

from lldm_aug.errors import CheckpointError, ConfigError
from lldm_aug.evaluation.measure.features import Colour, SliceNetwork
from lldm_aug.io.hashing import sha256_file
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


CLASSIFIERS = ("conv_seg", "fc")
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
        fill_body(self.network, tensors, CLASSIFIERS, path)
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
