"""Augmentation for the segmenter: windows at random places and scales, contrast and noise. Never mirrored: a body has a
left and a right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.seeds import numpy_rng, torch_rng

ZOOM = (0.85, 1.15)
GAMMA = (0.75, 1.35)
GAIN = (0.85, 1.15)
SHIFT = (-0.1, 0.1)
NOISE = (0.0, 0.1)
SHARE = 0.5
"""Of the samples that each kind of change is made to."""


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
    lifted = (image + 1) / 2  # mostly 0..1
    if rng.random() < SHARE:
        lifted = lifted.clamp(min=0) ** rng.uniform(*GAMMA)
    if rng.random() < SHARE:
        lifted = lifted * rng.uniform(*GAIN) + rng.uniform(*SHIFT)
    image = lifted * 2 - 1
    if rng.random() < SHARE:
        noise = torch.randn(image.shape, generator=torch_rng(seed, "segmenter", "noise", step, number))
        image = image + noise * rng.uniform(*NOISE)
    return image, label


def _window(
    image: torch.Tensor, label: torch.Tensor, settings: SegmenterTrainSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window of a random size around a random place, brought to the sides that the network sees."""
    whole = np.asarray(label.shape)
    sides = whole if settings.patch is None else np.minimum(settings.patch, whole)
    zoom = rng.uniform(*ZOOM, size=3) if rng.random() < SHARE else np.ones(3)
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
