"""Windows of cases that are larger: around structures most of the time, lesions above all.

Also crops of fields of view on which a ControlNet learns to inpaint: what a window around a small region will show it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lldm_aug.geometry import Box
from lldm_aug.labels import LabelSchema
from lldm_aug.models.layers import Factors
from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

MOST_PLACES = 64
"""So many voxels of a structure tell where it is."""
AROUND_LESIONS, AROUND_STRUCTURES = 0.5, 0.85
"""Of the windows of a case that shows both, half are around lesions, and 85 % around lesions or other structures."""

CROPPED = 0.85
"""Of the steps show crops. Each costs a fraction of a step that shows whole images."""
SMALLEST = 2
"""Cells of the denoiser's lowest level along a crop's sides, at least; at most as many as half of the image has."""

Sides = tuple[int, int, int]


class Outline(Record):
    """How a prepared case lies in its voxels.

    Args:
        sides: voxels along (X, Y, Z), with what was padded.
        start: first voxel that the case covers.
        stop: the voxel after the last one.
    """

    sides: Sides
    start: Sides
    stop: Sides

    @property
    def box(self) -> Box:
        """All voxels."""
        return box_at((0, 0, 0), self.sides)

    def covers(self, box: Box) -> torch.Tensor:
        """Booleans (X, Y, Z): which voxels of a box belong to the case."""
        places = [torch.arange(s.start, s.stop) for s in box]
        x, y, z = ((p >= a) & (p < b) for p, a, b in zip(places, self.start, self.stop, strict=True))
        return x[:, None, None] & y[None, :, None] & z[None, None, :]


@dataclass(frozen=True)
class Scene:
    """What it takes to choose a window of a case.

    Args:
        outline: where the case lies.
        places: (N, 4) integers, see `find_places`.
        lesions: values of the structures that are lesions.
        cells: voxels per latent cell; windows begin where a cell does.
    """

    outline: Outline
    places: np.ndarray
    lesions: frozenset[int]
    cells: Factors

    def fixed(self, sides: Sides) -> Box:
        """The window around the case's lesions, else its structures, else its middle."""
        shown = self._voxels(self.lesions) if len(self._voxels(self.lesions)) else self.places[:, 1:]
        outline = self.outline
        centre = np.median(shown, axis=0) if len(shown) else np.add(outline.start, outline.stop) / 2
        return self._window(centre - np.asarray(sides) / 2, sides)

    def drawn(self, rng: np.random.Generator, sides: Sides) -> Box:
        """A random window."""
        centre, size = self._drawn_voxel(rng), np.minimum(sides, self.outline.sides)
        if centre is None:
            start = rng.uniform(0, np.asarray(self.outline.sides) - size + np.asarray(self.cells))
        else:
            start = centre - rng.uniform(0.25, 0.75, size=3) * size
        return self._window(start, sides)

    def _drawn_voxel(self, rng: np.random.Generator) -> np.ndarray | None:
        """A voxel to be near the middle; None for a window anywhere."""
        chance, present = rng.random(), [int(value) for value in np.unique(self.places[:, 0])]
        lesions = [value for value in present if value in self.lesions]
        if chance >= AROUND_STRUCTURES or not present:
            return None
        values = lesions if lesions and chance < AROUND_LESIONS else present
        voxels = self._voxels({values[int(rng.integers(len(values)))]})
        return np.asarray(voxels[int(rng.integers(len(voxels)))])

    def _voxels(self, values: Collection[int]) -> np.ndarray:
        return np.asarray(self.places[np.isin(self.places[:, 0], list(values)), 1:])

    def _window(self, start: np.ndarray, sides: Sides) -> Box:
        whole, cells = np.asarray(self.outline.sides), np.asarray(self.cells)
        size = np.minimum(sides, whole)
        last = (whole - size) // cells * cells
        return box_at(np.clip(np.floor(start / cells).astype(int) * cells, 0, last).tolist(), size.tolist())


def box_at(start: Sequence[int], sides: Sequence[int]) -> Box:
    """The box that begins at a voxel."""
    x, y, z = (slice(int(s), int(s + n)) for s, n in zip(start, sides, strict=True))
    return x, y, z


def find_places(label: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Some voxels of each structure of an integer (X, Y, Z) mask, as (N, 4) integers: the structure's value, (x, y, z).

    They are spread evenly over the structure's voxels, and tell without the mask where to lay a window.
    """
    found = [np.zeros((0, 4), np.int32)]
    for value in schema.values.values():
        voxels = np.argwhere(label == value)
        some = voxels[:: max(1, -(-len(voxels) // MOST_PLACES))]
        found.append(np.column_stack([np.full(len(some), value), some]).astype(np.int32))
    return np.concatenate(found)


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
