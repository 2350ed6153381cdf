"""Faster convolutions on the CPU, one sample at a time."""

from __future__ import annotations

import torch
from torch import nn


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
