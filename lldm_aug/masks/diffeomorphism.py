"""Smooth invertible deformations: the flow of a stationary velocity field (Arsigny et al., MICCAI 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from lldm_aug.data.resample import axis_weights
from lldm_aug.geometry import Box

LATTICE_MM = 8.0
SQUARINGS = 6
SMOOTHNESS = 0.13
"""Standard deviation of the smoothing, as a share of the field of view's mean side."""
BORDER = 0.25
"""Share of a side, at each end, over which the velocity across the border fades to zero: nothing enters or leaves."""

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Lattice:
    """Evenly spaced nodes from the first to the last voxel centre of a grid, along its own axes.

    Args:
        shape: nodes along each axis.
        spacing_mm: distance between nodes along each axis.
    """

    shape: Shape
    spacing_mm: Spacing

    @classmethod
    def over(cls, shape: Shape, spacing_mm: Spacing, node_mm: float = LATTICE_MM) -> Lattice:
        """The lattice over a grid of this shape and spacing, its nodes about ``node_mm`` apart."""
        extents = [max(n - 1, 1) * s for n, s in zip(shape, spacing_mm, strict=True)]
        a, b, c = (max(5, 1 + round(extent / node_mm)) for extent in extents)
        d, e, f = (extent / (n - 1) for extent, n in zip(extents, (a, b, c), strict=True))
        return cls((a, b, c), (d, e, f))

    @property
    def mean_side_mm(self) -> float:
        """Geometric mean of the sides of the field of view."""
        sides = [(n - 1) * s for n, s in zip(self.shape, self.spacing_mm, strict=True)]
        return float(np.prod(sides) ** (1 / 3))


def draw_velocity(rng: np.random.Generator, lattice: Lattice, peak_mm: float) -> np.ndarray:
    """(3, A, B, C) smooth random velocity in mm per unit time along the grid's axes, its largest length ``peak_mm``."""
    sigma = [SMOOTHNESS * lattice.mean_side_mm / s for s in lattice.spacing_mm]
    velocity = np.stack([gaussian_filter(rng.standard_normal(lattice.shape), sigma) for _ in range(3)])
    for axis in range(3):
        ends = np.minimum(np.arange(lattice.shape[axis]), np.arange(lattice.shape[axis])[::-1])
        fade = np.clip(ends / (BORDER * (lattice.shape[axis] - 1)), 0, 1)
        velocity[axis] *= np.sin(fade * np.pi / 2).reshape([-1 if a == axis else 1 for a in range(3)])
    peak = np.linalg.norm(velocity, axis=0).max()
    scaled: np.ndarray = velocity * (peak_mm / peak)
    return scaled


def flow(velocity: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(3, A, B, C) displacement in mm after unit time, by scaling and squaring; that of -velocity is its inverse."""
    displacement = velocity / 2**SQUARINGS
    nodes = np.indices(lattice.shape, dtype=np.float64)
    steps = np.asarray(lattice.spacing_mm).reshape(3, 1, 1, 1)
    for _ in range(SQUARINGS):
        there = nodes + displacement / steps
        further = [map_coordinates(d, there, order=3, mode="nearest") for d in displacement]
        displacement = displacement + np.stack(further)
    return np.asarray(displacement)


def jacobian(displacement: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(A, B, C) determinant of the Jacobian of x + displacement(x): positive where nothing folds."""
    gradients = [np.stack(np.gradient(d, *lattice.spacing_mm), axis=-1) for d in displacement]
    determinant: np.ndarray = np.linalg.det(np.stack(gradients, axis=-2) + np.eye(3))
    return determinant


def displacement_in(displacement: np.ndarray, lattice: Lattice, shape: Shape, box: Box) -> np.ndarray:
    """(3, x, y, z) float32 displacement in mm of the voxels in a box of the grid that the lattice lies over."""
    out = displacement.astype(np.float32)
    for axis in range(3):
        step = (lattice.shape[axis] - 1) / max(shape[axis] - 1, 1)
        weights = axis_weights(lattice.shape[axis], shape[axis], step, 0.0, smooth=False)[box[axis]]
        out = np.moveaxis(np.tensordot(out, weights.astype(np.float32), axes=(axis + 1, 1)), -1, axis + 1)
    return out
