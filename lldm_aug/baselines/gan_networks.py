"""The networks of a 3D alpha-GAN (arXiv 1908.02498, after 1706.04987) that is conditioned on the mask.

The original makes 64^3 images out of a vector. Here the code lies on the coarsest grid, so that all networks are
convolutional and of any size, and every network but the one that judges codes sees the mask. As in the autoencoder, the
finest grid is that of blocks of voxels: their voxels are channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from lldm_aug.baselines.image_network import BaselineDescription, ImageNetwork, image_of
from lldm_aug.config.schema import GanSettings, SamplingSettings
from lldm_aug.data.conform import compression_for
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth

FINEST = 2
"""Voxels of a block along the finest axis."""
SLOPE = 0.2


class Block(nn.Module):
    """Residual block of two convolutions.

    Args:
        inside: channels that come in.
        out: channels that go out.
        groups: of the group normalisation; None for none, as the gradient penalty needs it.
    """

    def __init__(self, inside: int, out: int, groups: int | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layers(inside, out, None), *_layers(out, out, groups))
        self.skip = nn.Conv3d(inside, out, 1) if inside != out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inside, x, y, z) to (B, out, x, y, z)."""
        both: torch.Tensor = self.layers(x) + self.skip(x)
        return both / math.sqrt(2)  # variances add up


def _layers(inside: int, out: int, groups: int | None) -> list[nn.Module]:
    norm = [] if groups is None else [nn.GroupNorm(groups, inside)]
    return [*norm, nn.LeakyReLU(SLOPE), nn.Conv3d(inside, out, 3, padding=1)]


class Descent(nn.Module):
    """Pictures and masks to a map on the coarsest grid: the encoder, and with one channel the critic.

    Args:
        channels: C + 1 of the pictures.
        structures: S of the condition.
        out: channels of the map.
        stem: voxels per block.
        settings: sizes.
        groups: see `Block`.
    """

    def __init__(
        self, channels: int, structures: int, out: int, stem: Factors, settings: GanSettings, groups: int | None
    ) -> None:
        super().__init__()
        self.stem, widths = stem, settings.channels
        self.start = nn.Conv3d((channels + structures) * stem[0] * stem[1] * stem[2], widths[0], 1)
        self.blocks = nn.ModuleList(Block(widths[max(0, i - 1)], w, groups) for i, w in enumerate(widths))
        self.end = nn.Sequential(*_layers(widths[-1], out, groups))

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, X, Y, Z) and (B, S, X, Y, Z) to (B, out, x, y, z)."""
        x = self.start(space_to_depth(torch.cat([picture, condition], dim=1), self.stem))
        for level, block in enumerate(self.blocks):
            x = block(x if level == 0 else F.avg_pool3d(x, 2))
        end: torch.Tensor = self.end(x)
        return end


class GanGenerator(ImageNetwork):
    """Codes and masks to pictures; every level sees the mask, the finest at full resolution.

    Args:
        channels: C + 1 of the pictures.
        structures: S of the condition.
        stem: voxels per block.
        settings: sizes.
    """

    def __init__(self, channels: int, structures: int, stem: Factors, settings: GanSettings) -> None:
        super().__init__()
        self.stem, widths, groups = stem, settings.channels, settings.norm_groups
        unfolded = stem[0] * stem[1] * stem[2]
        self.start = nn.Conv3d(settings.code_channels, widths[-1], 3, padding=1)
        above = (*widths[1:], widths[-1])
        seen = (structures * unfolded, *[structures] * (len(widths) - 1))
        self.blocks = nn.ModuleList(Block(a + s, w, groups) for a, s, w in zip(above, seen, widths, strict=True))
        self.end = nn.Sequential(*_layers(widths[0], channels * unfolded, groups))

    @classmethod
    def untrained(cls, d: BaselineDescription) -> GanGenerator:
        """See `ImageNetwork`."""
        stem = compression_for(d.spacing_mm, FINEST)
        return cls(d.num_channels + 1, len(d.labels.names), stem, d.config.baselines.gan)

    def forward(self, code: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B, L, x, y, z) and (B, S, X, Y, Z) to (B, C + 1, X, Y, Z)."""
        x = self.start(code)
        for level in reversed(range(len(self.blocks))):
            x = self.blocks[level](torch.cat([x, self._mask(condition, level)], dim=1))
            x = F.interpolate(x, scale_factor=2.0) if level else x
        return depth_to_space(self.end(x), self.stem)

    def _mask(self, condition: torch.Tensor, level: int) -> torch.Tensor:
        if level == 0:
            return space_to_depth(condition, self.stem)
        factor = [f * 2**level for f in self.stem]
        return F.avg_pool3d(condition, factor, factor)

    def paint(
        self, condition: torch.Tensor, noise: torch.Tensor, sampling: SamplingSettings, rng: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ImageNetwork`; nothing is sampled in steps."""
        return image_of(self(noise, condition))


class Maker(nn.Module):
    """What learns to pass for real: generator and encoder.

    Args:
        channels: C + 1 of the pictures.
        structures: S of the condition.
        stem: voxels per block.
        settings: sizes.
    """

    def __init__(self, channels: int, structures: int, stem: Factors, settings: GanSettings) -> None:
        super().__init__()
        groups = settings.norm_groups
        self.encoder = Descent(channels, structures, settings.code_channels, stem, settings, groups)
        self.generator = GanGenerator(channels, structures, stem, settings)


class Critics(nn.Module):
    """What tells real from made: one network for pictures with their masks, one for codes.

    Args:
        channels: C + 1 of the pictures.
        structures: S of the condition.
        stem: voxels per block.
        settings: sizes.
        code_size: numbers of a code.
    """

    def __init__(self, channels: int, structures: int, stem: Factors, settings: GanSettings, code_size: int) -> None:
        super().__init__()
        width = settings.code_critic
        self.of_pictures = Descent(channels, structures, 1, stem, settings, None)
        self.of_codes = nn.Sequential(
            nn.Flatten(),
            nn.Linear(code_size, width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, 1),
        )

    def picture(self, picture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(B,) scores of pictures under their masks."""
        score: torch.Tensor = self.of_pictures(picture, condition)
        return score.flatten(1).mean(1)

    def code(self, code: torch.Tensor) -> torch.Tensor:
        """(B,) scores of codes."""
        score: torch.Tensor = self.of_codes(code)
        return score[:, 0]


class AlphaGan(nn.Module):
    """All four networks.

    Args:
        maker: encoder and generator.
        critics: what they are judged by.
    """

    def __init__(self, maker: Maker, critics: Critics) -> None:
        super().__init__()
        self.maker = maker
        self.critics = critics
