"""Segmentation networks of MONAI behind the constructor that nnU-Net's plans ask for.

nnU-Net builds ``architecture.network_class_name`` with ``input_channels``, ``num_classes``, ``deep_supervision`` and
what the plans say. These networks give one output, at full resolution: ``nnUNetTrainerLLDMAug`` trains them without
deep supervision, as ``nnUNetTrainerNoDeepSupervision`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lldm_aug.errors import ConfigError


class _Switch:
    """Takes the place of a decoder, on which nnU-Net turns deep supervision off and on."""

    deep_supervision = False


class SingleOutput(nn.Module):
    """A network with one output, whose patches are padded to sides that it can halve as often as it does.

    Args:
        net: maps (B, C, ...) to (B, K, ...).
        multiple: sides have to be multiples of this.
        least: and at least so long, for norms that need more than one value in the deepest level.
    """

    def __init__(self, net: nn.Module, multiple: int, least: int = 0) -> None:
        super().__init__()
        self.net, self.multiple, self.least = net, multiple, least
        self.decoder = _Switch()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, K, ...) of a (B, C, ...) patch."""
        shape = x.shape[2:]
        target = [max(-(-side // self.multiple) * self.multiple, self.least) for side in shape]
        missing = [wanted - side for side, wanted in zip(shape, target, strict=True)]
        padding = [n for lacking in reversed(missing) for n in (0, lacking)]  # of the last axis first
        out: torch.Tensor = self.net(F.pad(x, padding))
        inside = (slice(None), slice(None), *(slice(side) for side in shape))
        return out[inside]


def _refuse_deep_supervision(deep_supervision: bool, name: str) -> None:
    if deep_supervision:
        raise ConfigError(
            f"{name} has no deep supervision", fix="train it with nnUNetTrainerLLDMAug, which turns it off"
        )


class AttentionUNet(SingleOutput):
    """U-Net with attention quality filter on its skip connections (arXiv 1804.03999), with the widths and strides of
    the plans.

    Args:
        input_channels: image channels.
        num_classes: outputs.
        deep_supervision: has to be False.
        features_per_stage: widths.
        strides: of each stage; the first is 1.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        features_per_stage: Sequence[int],
        strides: Sequence[Sequence[int]],
        deep_supervision: bool = False,
    ) -> None:
        from monai.networks.nets.attentionunet import AttentionUnet

        _refuse_deep_supervision(deep_supervision, "AttentionUNet")
        steps: Any = [tuple(stride) for stride in strides[1:]]
        net = AttentionUnet(len(strides[0]), input_channels, num_classes, features_per_stage, steps)
        super().__init__(net, multiple=1)


class UNetPlusPlus(SingleOutput):
    """UNet++ (arXiv 1807.10165), of four levels below the first.

    Args:
        input_channels: image channels.
        num_classes: outputs.
        spatial_dims: 2 or 3.
        features: widths of the five levels and of the last layers.
        deep_supervision: has to be False.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        spatial_dims: int,
        features: Sequence[int],
        deep_supervision: bool = False,
    ) -> None:
        from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

        _refuse_deep_supervision(deep_supervision, "UNetPlusPlus")
        net = BasicUNetPlusPlus(spatial_dims, input_channels, num_classes, features)
        super().__init__(_First(net), multiple=16, least=32)


class _First(nn.Module):
    """The first of a network's outputs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.net(x)[0]
        return first


class SegResNet(SingleOutput):
    """The residual encoder-decoder of arXiv 1810.11654, without its variational branch.

    Args:
        input_channels: image channels.
        num_classes: outputs.
        spatial_dims: 2 or 3.
        init_filters: width of the first level, doubled at each deeper one; a multiple of 8.
        deep_supervision: has to be False.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        spatial_dims: int,
        init_filters: int,
        deep_supervision: bool = False,
    ) -> None:
        from monai.networks.nets.segresnet import SegResNet as Net

        _refuse_deep_supervision(deep_supervision, "SegResNet")
        down, up = (1, 2, 2, 4), (1, 1, 1)
        net = Net(spatial_dims, init_filters, input_channels, num_classes, blocks_down=down, blocks_up=up)
        super().__init__(net, multiple=8)


class VNet(SingleOutput):
    """V-Net (arXiv 1606.04797); its first layer repeats the input to 16 channels, so 16 must be a multiple of them.

    Args:
        input_channels: image channels.
        num_classes: outputs.
        spatial_dims: 2 or 3.
        deep_supervision: has to be False.
    """

    def __init__(
        self, input_channels: int, num_classes: int, spatial_dims: int, deep_supervision: bool = False
    ) -> None:
        from monai.networks.nets.vnet import VNet as Net

        _refuse_deep_supervision(deep_supervision, "VNet")
        if 16 % input_channels:
            raise ConfigError(f"VNet takes 1, 2, 4, 8 or 16 image channels, not {input_channels}")
        super().__init__(Net(spatial_dims, input_channels, num_classes, dropout_dim=spatial_dims), multiple=16)


class MedNeXt(SingleOutput):
    """MedNeXt (arXiv 2303.09975), the small one.

    Args:
        input_channels: image channels.
        num_classes: outputs.
        spatial_dims: 2 or 3.
        init_filters: width of the first level.
        deep_supervision: has to be False.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        spatial_dims: int,
        init_filters: int,
        deep_supervision: bool = False,
    ) -> None:
        from monai.networks.nets.mednext import MedNeXt as Net

        _refuse_deep_supervision(deep_supervision, "MedNeXt")
        net = Net(spatial_dims, init_filters, input_channels, num_classes, kernel_size=3, use_residual_connection=True)
        super().__init__(net, multiple=16)


def has_one_output(class_name: str) -> bool:
    """Whether the network class of some plans is of this module, so that there is nothing to supervise deeply."""
    return class_name.startswith(f"{__name__}.")
