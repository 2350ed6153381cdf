"""The diffusion U-Net in the latent space and the ControlNet that steers it by the mask (arXiv 2302.05543)."""

from __future__ import annotations

import torch
from monai.networks.nets.controlnet import ControlNet
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import nn

from lldm_aug.config.schema import DenoiserSettings, ObjectiveSettings
from lldm_aug.models.layers import Factors, space_to_depth

Residuals = tuple[list[torch.Tensor], torch.Tensor]


class MaskEmbedding(nn.Module):
    """Embeds a mask: it is folded at full resolution into channels on the latent grid, then convolved twice.

    MONAI's inferer would sample the mask at one voxel per latent cell, and lose most of a thin vessel.
    """

    def __init__(self, structures: int, compression: Factors, hidden: int, out: int) -> None:
        super().__init__()
        self.compression = compression
        unfolded = structures * compression[0] * compression[1] * compression[2]
        self.layers = nn.Sequential(nn.Conv3d(unfolded, hidden, 1), nn.SiLU(), nn.Conv3d(hidden, out, 3, padding=1))

    def forward(self, condition: torch.Tensor) -> torch.Tensor:
        """(B, S, X, Y, Z) condition to a (B, out, X / cx, Y / cy, Z / cz) embedding."""
        embedding: torch.Tensor = self.layers(space_to_depth(condition, self.compression))
        return embedding


class MaskControl(nn.Module):
    """Mask embedding and ControlNet. The embedding does not depend on time: compute it once a sample.

    Args:
        latent_channels: channels of the latent.
        structures: channels of the condition: those of the mask and, for a network that is conditioned on what is
            around a region, those of `with_surroundings`.
        compression: voxels per latent cell.
        settings: sizes, those of the U-Net.
    """

    def __init__(self, latent_channels: int, structures: int, compression: Factors, settings: DenoiserSettings) -> None:
        super().__init__()
        self.embedding = MaskEmbedding(structures, compression, settings.mask_channels, settings.channels[0])
        self.net = ControlNet(in_channels=latent_channels, **_shared(settings))
        self.net.controlnet_cond_embedding = nn.Identity()  # ours comes in already embedded

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        """The embedding that `forward` takes."""
        embedding: torch.Tensor = self.embedding(condition)
        return embedding

    def forward(self, latent: torch.Tensor, time: torch.Tensor, embedding: torch.Tensor) -> Residuals:
        """Residuals for the U-Net's skip connections and its middle."""
        down, middle = self.net(latent, time, embedding)
        return down, middle


def build_denoiser(
    latent_channels: int, settings: DenoiserSettings, objective: ObjectiveSettings, concatenated: int = 0
) -> DiffusionModelUNet:
    """MONAI's 3D diffusion U-Net. Only a ControlNet's output, or channels concatenated to its input, condition it."""
    outside = latent_channels * objective.outputs
    return DiffusionModelUNet(in_channels=latent_channels + concatenated, out_channels=outside, **_shared(settings))


def copy_encoder(denoiser: DiffusionModelUNet, control: MaskControl) -> None:
    """Starts the ControlNet as a copy of the U-Net's encoder; its outputs stay zero."""
    target = control.net.state_dict()
    source = denoiser.state_dict()
    target.update({name: source[name] for name in target if name in source})
    control.net.load_state_dict(target)


class ControlledDenoiser(nn.Module):
    """U-Net and mask control as one network: what the third stage trains, and what sampling calls."""

    def __init__(self, denoiser: DiffusionModelUNet, control: MaskControl) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.control = control

    def forward(self, latent: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Prediction for a noisy (B, L, ...) latent at network times (B,) under a (B, S, X, Y, Z) condition."""
        return self.step(latent, time, self.control.embed(condition))

    def step(self, latent: torch.Tensor, time: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """The same, for a mask that has been embedded already."""
        down, middle = self.control(latent, time, embedding)
        out: torch.Tensor = self.denoiser(
            latent, time, down_block_additional_residuals=tuple(down), mid_block_additional_residual=middle
        )
        return out


def _shared(settings: DenoiserSettings) -> dict[str, object]:
    levels = len(settings.channels)
    return {
        "spatial_dims": 3,
        "num_res_blocks": (settings.num_res_blocks,) * levels,
        "channels": settings.channels,
        "attention_levels": settings.attention,
        "norm_num_groups": settings.norm_groups,
        "num_head_channels": settings.head_channels,
        "use_flash_attention": True,  # scaled_dot_product_attention, also on the CPU
    }
