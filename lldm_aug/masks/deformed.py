"""Real masks under random diffeomorphisms: new shapes with the topology of real ones."""

from __future__ import annotations

import numpy as np

from lldm_aug.masks.diffeomorphism import Lattice, draw_velocity, flow, jacobian
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.source import DrawnMask
from lldm_aug.masks.validity import mask_problems
from lldm_aug.masks.warp import warp_labels
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
