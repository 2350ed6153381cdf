"""Real masks under random diffeomorphisms: new shapes with the topology of real ones.

Every connected component stays one, and thin ones keep their volume.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import find_objects, label, map_coordinates

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.geometry import Box
from lldm_aug.masks.components import Component, settle
from lldm_aug.masks.diffeomorphism import Lattice, displacement_in, draw_velocity, flow, jacobian
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.source import DrawnMask
from lldm_aug.masks.validity import mask_problems
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

PEAK_RANGE = (0.035, 0.055)
"""Largest displacement as a share of the field of view's mean side: 10-16 mm in 300 mm."""
CALMER = 0.85
"""Factor of the displacement at each further attempt to deform the same case."""
TRIES_PER_CASE = 4
"""Attempts at one case before the next one's turn."""
LEAST_JACOBIAN = 0.1


class DeformedMasks:
    """Masks of real cases, each deformed anew, on the grid of its case."""

    kind = "deformed"

    def __init__(self, cases: RealCases) -> None:
        self.cases = cases
        self.schema = cases.dataset.schema

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """A deformed mask of the next real case; a case that is faulty, or that no deformation suits, is skipped.

        Raises:
            LabelError: when no draw was valid.
        """

        def attempt(case_id: str, rejected: int, again: int) -> tuple[Fitted, list[str]]:
            rng = numpy_rng(seed, "deformed mask", index, rejected)
            mask, problems = deform(rng, self.cases.load(case_id), self.cases, CALMER**again)
            return fit_valid(mask, problems, fit, self.schema)

        case_id, mask, rejected = self.cases.search(index, attempt, TRIES_PER_CASE)
        return DrawnMask.of(mask, self.cases.origin(self.kind, case_id, rejected))


def deform(rng: np.random.Generator, source: Volume, cases: RealCases, strength: float) -> tuple[Volume, list[str]]:
    """A randomly deformed mask, and what is wrong with it."""
    lattice = Lattice.over(source.grid.shape, source.grid.spacing_mm)
    peak = strength * float(rng.uniform(*PEAK_RANGE)) * lattice.mean_side_mm
    displacement = flow(draw_velocity(rng, lattice, peak), lattice)
    if jacobian(displacement, lattice).min() < LEAST_JACOBIAN:
        return source, ["the deformation folds"]
    label = warp_labels(source, displacement, lattice)
    return Volume(label, source.grid), mask_problems(label, cases.dataset.schema, source.data)


def warp_labels(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(X, Y, Z) int16: at each voxel the label that lies at its position plus the displacement.

    Each connected component is interpolated linearly by itself (see `settle`).

    Args:
        mask: (X, Y, Z) integer labels.
        displacement: (3, A, B, C) in mm on the lattice, as from `flow`.
        lattice: lies over the mask's grid.
    """
    return settle(list(_warped_components(mask, displacement, lattice)), mask.grid.shape)


def _warped_components(mask: Volume, displacement: np.ndarray, lattice: Lattice) -> Iterator[Component]:
    for value in np.unique(mask.data[mask.data > 0]).tolist():
        numbers, _ = label(mask.data == value, ANY_NEIGHBOUR)
        for number, tight in enumerate(find_objects(numbers), start=1):
            box = _within_reach(tight, mask, displacement)
            moved = displacement_in(displacement, lattice, mask.grid.shape, box)
            moved /= np.asarray(mask.grid.spacing_mm, dtype=np.float32).reshape(3, 1, 1, 1)
            for axis, index in enumerate(np.ogrid[tuple(slice(s.stop - s.start) for s in box)]):
                moved[axis] += index
            inside = (numbers[box] == number).astype(np.float32)
            yield Component(value, box, map_coordinates(inside, moved, order=1, mode="nearest"))


def _within_reach(tight: tuple[slice, ...], mask: Volume, displacement: np.ndarray) -> Box:
    """A box that holds all that a box can move to, and one voxel more."""
    reach = np.ceil(np.abs(displacement).max(axis=(1, 2, 3)) / mask.grid.spacing_mm).astype(int) + 2
    sides = zip(tight, reach.tolist(), mask.grid.shape, strict=True)
    x, y, z = (slice(max(0, s.start - r), min(n, s.stop + r)) for s, r, n in sides)
    return x, y, z
