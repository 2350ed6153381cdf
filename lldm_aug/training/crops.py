"""Crops of fields of view on which a ControlNet learns to inpaint: what a window around a small region will show it."""

from __future__ import annotations

from lldm_aug.models.layers import Factors
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.windows import Sides

CROPPED = 0.85
"""Of the steps show crops. Each costs a fraction of a step that shows whole images."""
SMALLEST = 2
"""Cells of the denoiser's lowest level along a crop's sides, at least; at most as many as half of the image has."""


def crop_sides(shape: Sides, cell: Factors, seed: int, stage: str, step: int) -> Sides | None:
    """Side lengths of the crops of a step, None where it shows whole images: a pure function of seed, stage and step.

    Args:
        shape: voxels of the whole image.
        cell: voxels per cell of the denoiser's lowest level.
        seed: of the run.
        stage: its name.
        step: the optimiser step.
    """
    rng = numpy_rng(seed, stage, "crop", step)
    if rng.random() >= CROPPED:
        return None
    x, y, z = (_side(rng.random(), n, size) for n, size in zip(shape, cell, strict=True))
    return x, y, z


def _side(chance: float, whole: int, cell: int) -> int:
    """One of the lengths that a crop may have, all equally likely."""
    most = max(SMALLEST, whole // 2 // cell)
    return min(whole, cell * (SMALLEST + int(chance * (most - SMALLEST + 1))))
