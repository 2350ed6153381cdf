"""Stronger classical augmentation: rotations, shears of the scale, blur, coarse sampling, shading, contrast and noise.

About as strong as nnU-Net's DA5, without mirroring: a body has a left and a right.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.seeds import numpy_rng, torch_rng
from lldm_aug.training.augment import place_of_interest

DEGREES = 25.0
ZOOM = (0.7, 1.4)
STRETCH = (0.85, 1.15)
BLUR_VOXELS = (0.3, 1.2)
COARSER = (1.0, 2.5)
SHADING = 0.35
GAMMA = (0.6, 1.7)
GAIN = (0.7, 1.3)
SHIFT = (-0.2, 0.2)
NOISE = (0.0, 0.2)
SHARE = 0.35
"""Of the samples that each kind of change is made to."""


def strongly_augmented(
    image: torch.Tensor,
    label: torch.Tensor,
    settings: SegmenterTrainSettings,
    seed: int,
    step: int,
    number: int,
    *,
    spacing_mm: tuple[float, float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """A strongly changed view of a case; arguments and result as `lldm_aug.training.augment.augmented`."""
    rng = numpy_rng(seed, "strong augmentation", step, number)
    image, label = _turned_window(image, label, settings, np.asarray(spacing_mm), rng)
    if rng.random() < SHARE:
        image = _coarse(image, rng)
    if rng.random() < SHARE:
        image = _blurred(image, rng.uniform(*BLUR_VOXELS))
    lifted = (image + 1) / 2  # mostly 0..1
    if rng.random() < SHARE:
        lifted = lifted * _shading(image.shape[1:], rng)
    if rng.random() < SHARE:
        lifted = lifted.clamp(min=0) ** rng.uniform(*GAMMA)
    if rng.random() < SHARE:
        lifted = lifted * rng.uniform(*GAIN) + rng.uniform(*SHIFT)
    image = lifted * 2 - 1
    if rng.random() < SHARE:
        noise = torch.randn(image.shape, generator=torch_rng(seed, "strong noise", step, number))
        image = image + noise * rng.uniform(*NOISE)
    return image, label


def _turned_window(
    image: torch.Tensor,
    label: torch.Tensor,
    settings: SegmenterTrainSettings,
    spacing: np.ndarray,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window that is turned, scaled and stretched, read from the whole case so that it has no empty corners."""
    whole = np.asarray(label.shape)
    sides = whole if settings.patch is None else np.minimum(settings.patch, whole)
    turn = _rotation(rng) * spacing / spacing[:, None] if rng.random() < SHARE else np.eye(3)  # of voxels, not mm
    zoom = np.full(3, rng.uniform(*ZOOM)) * rng.uniform(*STRETCH, size=3) if rng.random() < SHARE else np.ones(3)
    interesting = rng.random() < settings.centre_on_structure
    centre = place_of_interest(label, rng) if interesting else rng.integers(0, whole)
    reach = np.minimum(sides * zoom, whole) / 2
    centre = np.clip(centre + 0.5, reach, whole - reach)
    theta = np.column_stack([(turn * (sides * zoom)) / whole[:, None], 2 * centre / whole - 1])
    order = [2, 1, 0]  # grid_sample counts axes from the last
    matrix = torch.from_numpy(np.column_stack([theta[:, :3][order][:, order], theta[order, 3]])).float()
    grid = F.affine_grid(matrix[None], [1, 1, *(int(n) for n in sides)], align_corners=False)
    seen = F.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    mask = F.grid_sample(label[None, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return seen, mask[0, 0].round().to(label.dtype)


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """Product of turns around the three axes."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-DEGREES, DEGREES, size=3))):
        one = np.eye(3)
        a, b = (n for n in range(3) if n != axis)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    return turn


def _coarse(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """As if it had been scanned with larger voxels."""
    sides = [max(2, round(n / rng.uniform(*COARSER))) for n in image.shape[1:]]
    coarse = F.interpolate(image[None], sides, mode="nearest-exact")
    return F.interpolate(coarse, list(image.shape[1:]), mode="trilinear")[0]


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = int(np.ceil(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = len(kernel)
        ends = [reach if a == axis else 0 for a in (2, 1, 0) for _ in range(2)]
        image = F.conv3d(F.pad(image[:, None], ends, mode="replicate"), kernel.view(shape))[:, 0]
    return image


def _shading(sides: torch.Size, rng: np.random.Generator) -> torch.Tensor:
    """A smooth factor (X, Y, Z) around 1, as of a receiver coil."""
    knots = torch.from_numpy(rng.uniform(-SHADING, SHADING, size=(1, 1, 3, 3, 3))).float()
    return torch.exp(F.interpolate(knots, list(sides), mode="trilinear", align_corners=True)[0, 0])
