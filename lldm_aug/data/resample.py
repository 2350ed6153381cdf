"""Separable resampling between grids whose axes are parallel, and the flips and swaps that make them so."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from lldm_aug.errors import InvalidVolume
from lldm_aug.geometry import Grid

_RAS = np.array([[0, 1], [1, 1], [2, 1]], dtype=float)


def canonical_grid(grid: Grid) -> Grid:
    """The same voxels, with axes swapped and flipped so that they run closest to right, anterior, superior."""
    orientation = io_orientation(grid.affine)
    shape = np.empty(3, dtype=int)
    shape[orientation[:, 0].astype(int)] = grid.shape
    affine = grid.affine @ inv_ornt_aff(orientation, grid.shape)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def to_canonical(data: np.ndarray, grid: Grid) -> np.ndarray:
    """Voxels (..., X, Y, Z) of a grid in the axis order of its `canonical_grid`."""
    return _reorient(data, io_orientation(grid.affine))


def from_canonical(data: np.ndarray, grid: Grid) -> np.ndarray:
    """The inverse of `to_canonical`: voxels in the axis order of ``grid``."""
    return _reorient(data, ornt_transform(_RAS, io_orientation(grid.affine)))


def _reorient(data: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    moved = np.moveaxis(data, (-3, -2, -1), (0, 1, 2))  # nibabel reorients the first three axes
    return np.ascontiguousarray(np.moveaxis(apply_orientation(moved, orientation), (0, 1, 2), (-3, -2, -1)))


def axis_weights(n_in: int, n_out: int, step: float, start: float, *, smooth: bool) -> np.ndarray:
    """Interpolation weights (n_out, n_in) of one axis.

    Output sample ``i`` lies at input coordinate ``start + i * step``. The kernel is a triangle of half-width 1, widened
    to ``step`` if ``smooth`` (no aliasing when samples get sparser). Rows sum to 1; samples outside the input get its
    edge value.
    """
    width = max(step, 1.0) if smooth else 1.0
    centres = np.clip(start + step * np.arange(n_out), 0, n_in - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(n_in)[None]) / width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def resample(data: np.ndarray, source: Grid, target: Grid, *, smooth: bool = True) -> np.ndarray:
    """Linear interpolation of (..., X, Y, Z) float data onto a grid with parallel axes.

    Raises:
        InvalidVolume: when the axes of the grids are not parallel.
    """
    mapping = np.linalg.inv(source.affine) @ target.affine
    step = np.diag(mapping)[:3]
    if np.abs(mapping[:3, :3] - np.diag(step)).max() > 1e-3 or step.min() <= 0:
        raise InvalidVolume("the axes of the grids are not parallel", fix="bring both to their canonical order first")
    every = [
        axis_weights(source.shape[axis], target.shape[axis], float(step[axis]), float(mapping[axis, 3]), smooth=smooth)
        for axis in range(3)
    ]
    used = [_used_columns(weights) for weights in every]  # a small target sees a small part of its source
    x, y, z = used
    out = np.asarray(data[..., x, y, z], dtype=np.float32)
    for axis in range(3):
        out = _interpolated(out, every[axis][:, used[axis]], out.ndim - 3 + axis)
    return np.ascontiguousarray(out)


def _interpolated(data: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Data weighted along an axis; samples of the input are taken as they are, which costs little."""
    if np.all(weights.max(axis=1) == 1):
        taken: np.ndarray = np.take(data, weights.argmax(axis=1), axis=axis)
        return taken
    return np.moveaxis(np.tensordot(data, weights, axes=(axis, 1)), -1, axis)


def _used_columns(weights: np.ndarray) -> slice:
    """The range of input samples that have any weight."""
    columns = np.flatnonzero(weights.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1)


def inside(source: Grid, target: Grid) -> np.ndarray:
    """Boolean (X, Y, Z) of target voxels whose centre lies within the voxels of the source."""
    mapping = np.linalg.inv(source.affine) @ target.affine
    masks = []
    for axis in range(3):
        at = mapping[axis, 3] + mapping[axis, axis] * np.arange(target.shape[axis])
        masks.append((at >= -0.5) & (at <= source.shape[axis] - 0.5))
    return np.asarray(masks[0][:, None, None] & masks[1][None, :, None] & masks[2][None, None, :])


def resample_labels(label: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """The most likely label (X, Y, Z) int16 at each target voxel: linear interpolation of each label, then the largest.

    Labels are interpolated one at a time to save memory; outside the source there is background (0).
    """
    best = np.zeros(target.shape, dtype=np.float32)
    result = np.zeros(target.shape, dtype=np.int16)
    for value in np.unique(label):
        share = resample(label == value, source, target, smooth=False)
        larger = share > best
        best[larger] = share[larger]
        result[larger] = value
    return np.where(inside(source, target), result, np.int16(0)).astype(np.int16)


def shrink_labels(label: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """A label map (X, Y, Z) int16 on a coarser grid, on which each structure keeps its volume.

    Taking the most likely label would thin out or erase what is thinner than a target voxel. Here each structure, the
    smallest first, takes the voxels that it fills most, as many as its volume inside the field of view asks for.
    """
    values, counts = np.unique(label[inside(target, source)], return_counts=True)
    ratio = source.voxel_volume_mm3 / target.voxel_volume_mm3
    free = inside(source, target)
    result = np.zeros(target.shape, dtype=np.int16)
    for count, value in sorted((int(c), int(v)) for c, v in zip(counts, values, strict=True) if v):
        share = (resample(label == value, source, target) * free).ravel()
        candidates = np.flatnonzero(share > 0)
        order = np.argsort(-share[candidates], kind="stable")  # stable: ties fall the same way on every machine
        chosen = candidates[order[: max(1, round(count * ratio))]]
        result.ravel()[chosen] = value
        free.ravel()[chosen] = False
    return result
