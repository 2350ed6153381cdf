"""The networks of a study: MONAI's, with the same first width and as many halvings as the patch takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet
from torch import nn

from lldm_aug.errors import ConfigError
from lldm_aug.models.segmentation_networks import AttentionUNet, MedNeXt, SegResNet, SingleOutput, UNetPlusPlus, VNet
from lldm_aug.models.trained_model import prefer_onednn
from lldm_aug.seeds import derive_seed

Triple = tuple[int, int, int]
MOST_HALVINGS = 4
SHORTEST_SIDE = 4
"""No axis is halved below so many voxels."""
FILTER_GROUPS = 8
"""SegResNet's group normalisation divides its filters by this."""


@dataclass(frozen=True)
class NetworkSizes:
    """What decides a network's layers.

    Args:
        channels: image channels.
        classes: outputs, background included.
        width: features of the first level, doubled at each deeper one.
        patch: sides of what it is trained on.
        spacing_mm: voxel size.
    """

    channels: int
    classes: int
    width: int
    patch: Triple
    spacing_mm: tuple[float, float, float]

    @property
    def strides(self) -> tuple[Triple, ...]:
        """Of each level; as nnU-Net does, thick axes are halved only once the others have become as thick."""
        sides, spacing, strides = list(self.patch), list(self.spacing_mm), [(1, 1, 1)]
        for _ in range(MOST_HALVINGS):
            finest = min(spacing)
            x, y, z = (
                2 if side % 2 == 0 and side // 2 >= SHORTEST_SIDE and step < 2 * finest else 1
                for side, step in zip(sides, spacing, strict=True)
            )
            if (x, y, z) == (1, 1, 1):
                break
            strides.append((x, y, z))
            sides = [side // factor for side, factor in zip(sides, (x, y, z), strict=True)]
            spacing = [step * factor for step, factor in zip(spacing, (x, y, z), strict=True)]
        return tuple(strides)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of each level."""
        return tuple(self.width * 2**level for level in range(len(self.strides)))


def _unet(sizes: NetworkSizes, residual_units: int) -> nn.Module:
    net = UNet(
        spatial_dims=3,
        in_channels=sizes.channels,
        out_channels=sizes.classes,
        channels=sizes.widths,
        strides=sizes.strides[1:],
        num_res_units=residual_units,
    )
    return SingleOutput(net, multiple=1)


def _dynunet(sizes: NetworkSizes) -> nn.Module:
    kernels, strides = [3] * len(sizes.strides), sizes.strides
    net = DynUNet(3, sizes.channels, sizes.classes, kernels, strides, strides[1:], filters=sizes.widths)
    return SingleOutput(net, multiple=1)


def _plus_plus(sizes: NetworkSizes) -> nn.Module:
    first = max(4, sizes.width // 2)  # its five nodes at full resolution would cost as much as all other networks
    deeper = [sizes.width * 2**level for level in range(4)]
    return UNetPlusPlus(sizes.channels, sizes.classes, 3, (first, *deeper, first))


NETWORKS: dict[str, Callable[[NetworkSizes], nn.Module]] = {
    "unet": lambda sizes: _unet(sizes, residual_units=0),
    "resunet": lambda sizes: _unet(sizes, residual_units=2),
    "attunet": lambda sizes: AttentionUNet(sizes.channels, sizes.classes, sizes.widths, sizes.strides),
    "unetpp": _plus_plus,
    "segresnet": lambda sizes: SegResNet(sizes.channels, sizes.classes, 3, sizes.width),
    "vnet": lambda sizes: VNet(sizes.channels, sizes.classes, 3),
    "dynunet": _dynunet,
    "mednext": lambda sizes: MedNeXt(sizes.channels, sizes.classes, 3, sizes.width),
}
"""By name. V-Net has a width of its own, UNet++ half the width in its first level; UNet++, SegResNet and MedNeXt have
five, four and five levels whatever the patch."""


def check_networks(names: Sequence[str], width: int) -> None:
    """Raises ConfigError for a name that is unknown, no name at all, or a width that a network cannot take."""
    unknown = [name for name in names if name not in NETWORKS]
    if unknown or not names:
        found = f"no network {unknown[0]!r}" if unknown else "no networks"
        raise ConfigError(found, where="--networks", fix=f"use {', '.join(NETWORKS)}")
    if "segresnet" in names and width % FILTER_GROUPS:
        raise ConfigError(f"segresnet needs a width that is a multiple of {FILTER_GROUPS}", where="--width")


def build_network(name: str, sizes: NetworkSizes, seed: int) -> nn.Module:
    """A network whose first weights are a pure function of name, sizes and seed: the same in every arm."""
    with torch.random.fork_rng():  # torch draws first weights from its global generator
        torch.manual_seed(derive_seed("utility", name, "initial weights", seed))
        network = NETWORKS[name](sizes)
    prefer_onednn(network)  # predictions are made one case at a time
    return network
