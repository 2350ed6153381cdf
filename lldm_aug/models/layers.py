"""Exact changes of resolution: voxels to channels and back, nothing lost."""

from __future__ import annotations

import torch

Factors = tuple[int, int, int]


def lowest_cell(compression: Factors, levels: int) -> Factors:
    """Voxels per cell of the lowest level of a network that halves a grid: images are multiples of it.

    Args:
        compression: voxels per cell of its first level, such as a latent's.
        levels: of the network.
    """
    x, y, z = (factor * 2 ** (levels - 1) for factor in compression)
    return x, y, z


def space_to_depth(x: torch.Tensor, factors: Factors) -> torch.Tensor:
    """(B, C, X, Y, Z) to (B, C * fx * fy * fz, X / fx, Y / fy, Z / fz)."""
    b, c, *sides = x.shape
    (fx, fy, fz), (nx, ny, nz) = factors, (n // f for n, f in zip(sides, factors, strict=True))
    x = x.reshape(b, c, nx, fx, ny, fy, nz, fz)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * fx * fy * fz, nx, ny, nz)


def depth_to_space(x: torch.Tensor, factors: Factors) -> torch.Tensor:
    """The inverse of `space_to_depth`."""
    (fx, fy, fz), (b, c, nx, ny, nz) = factors, x.shape
    x = x.reshape(b, c // (fx * fy * fz), fx, fy, fz, nx, ny, nz)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, -1, nx * fx, ny * fy, nz * fz)
