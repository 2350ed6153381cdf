"""Augmentation of training cases: windows at random places and scales, contrast and noise.

Never mirrored: a body has a left and a right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.seeds import numpy_rng, torch_rng

Range = tuple[float, float]


@dataclass(frozen=True)
class Strength:
    """How strongly cases are changed.

    Args:
        share: of the samples that each kind of change is made to.
        zoom: sides of what a window shows, as multiples of the window's.
        gamma: exponents of contrast.
        gain: factors of brightness.
        shift: what is added to it, of a range of about 1.
        noise: standard deviations of noise, of scaled intensities.
    """

    share: float
    zoom: Range
    gamma: Range
    gain: Range
    shift: Range
    noise: Range


SLIGHT = Strength(0.5, (0.85, 1.15), (0.75, 1.35), (0.85, 1.15), (-0.1, 0.1), (0.0, 0.1))
STRONG = Strength(0.35, (0.7, 1.4), (0.6, 1.7), (0.7, 1.3), (-0.2, 0.2), (0.0, 0.2))
"""About as strong as nnU-Net's DA5, which turns, stretches, blurs and shades besides."""
DEGREES = 25.0
STRETCH = (0.85, 1.15)
BLUR_VOXELS = (0.3, 1.2)
COARSER = (1.0, 2.5)
SHADING = 0.35


def augmented(
    image: torch.Tensor, label: torch.Tensor, settings: SegmenterTrainSettings, seed: int, step: int, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A changed view of a case: image (C, *sides) and label (*sides), sides those of the patch or of the whole case.

    Every draw is a pure function of seed, step and number.

    Args:
        image: (C, X, Y, Z) scaled intensities.
        label: (X, Y, Z) integers.
        settings: sides of the patch, and where it is centred.
        seed: of the run.
        step: the optimiser step.
        number: of the sample in the step's batch.
    """
    rng = numpy_rng(seed, "segmenter", "augment", step, number)
    image, label = _window(image, label, settings, rng)
    image = _contrast((image + 1) / 2, rng, SLIGHT)
    return _noisy(image, rng, torch_rng(seed, "segmenter", "noise", step, number), SLIGHT), label


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
    """A strongly changed view of a case; arguments and result as `augmented`."""
    rng = numpy_rng(seed, "strong augmentation", step, number)
    image, label = _turned_window(image, label, settings, np.asarray(spacing_mm), rng)
    if rng.random() < STRONG.share:
        image = _coarse(image, rng)
    if rng.random() < STRONG.share:
        image = _blurred(image, rng.uniform(*BLUR_VOXELS))
    lifted = (image + 1) / 2
    if rng.random() < STRONG.share:
        lifted = lifted * _shading(image.shape[1:], rng)
    image = _contrast(lifted, rng, STRONG)
    return _noisy(image, rng, torch_rng(seed, "strong noise", step, number), STRONG), label


def _contrast(lifted: torch.Tensor, rng: np.random.Generator, strength: Strength) -> torch.Tensor:
    """Scaled intensities of lifted ones, which are mostly 0..1, with another contrast and brightness."""
    if rng.random() < strength.share:
        lifted = lifted.clamp(min=0) ** rng.uniform(*strength.gamma)
    if rng.random() < strength.share:
        lifted = lifted * rng.uniform(*strength.gain) + rng.uniform(*strength.shift)
    return lifted * 2 - 1


def _noisy(image: torch.Tensor, rng: np.random.Generator, noise: torch.Generator, strength: Strength) -> torch.Tensor:
    if rng.random() < strength.share:
        image = image + torch.randn(image.shape, generator=noise) * rng.uniform(*strength.noise)
    return image


def _window(
    image: torch.Tensor, label: torch.Tensor, settings: SegmenterTrainSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window of a random size around a random place, brought to the sides that the network sees."""
    whole = np.asarray(label.shape)
    sides = whole if settings.patch is None else np.minimum(settings.patch, whole)
    zoom = rng.uniform(*SLIGHT.zoom, size=3) if rng.random() < SLIGHT.share else np.ones(3)
    size = np.minimum(np.rint(sides * zoom).astype(int), whole)
    centre = place_of_interest(label, rng) if rng.random() < settings.centre_on_structure else rng.integers(0, whole)
    start = np.clip(centre - size // 2, 0, whole - size)
    cut = tuple(slice(int(s), int(s + n)) for s, n in zip(start, size, strict=True))
    image, label = image[:, *cut], label[cut]
    if (size != sides).any():
        target = [int(n) for n in sides]
        image = F.interpolate(image[None], target, mode="trilinear")[0]
        label = F.interpolate(label[None, None].float(), target, mode="nearest-exact")[0, 0].to(label.dtype)
    return image, label


def place_of_interest(label: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """A voxel of a structure, each structure that the case shows alike; anywhere if it shows none."""
    present = [int(v) for v in torch.unique(label) if v > 0]
    if not present:
        return rng.integers(0, label.shape)
    voxels = torch.nonzero(label == present[rng.integers(len(present))])
    return np.asarray(voxels[int(rng.integers(len(voxels)))])


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
    turn = (
        _rotation(rng) * spacing / spacing[:, None] if rng.random() < STRONG.share else np.eye(3)
    )  # of voxels, not mm
    zoom = (
        np.full(3, rng.uniform(*STRONG.zoom)) * rng.uniform(*STRETCH, size=3)
        if rng.random() < STRONG.share
        else np.ones(3)
    )
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
    return turned(np.eye(3), rng.uniform(-DEGREES, DEGREES, size=3))


def turned(matrix: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """A (3, 3) matrix times turns by three angles, one around each axis."""
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


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
