"""A real or synthetic case as figures are taken from it: on the generator's grid, raw and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import Scale, measure_scale
from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.volume import Volume

if TYPE_CHECKING:
    from lldm_aug.models.image_model import ImageDescription


@dataclass(frozen=True)
class ConformedCase:
    """One case on the generator's grid.

    Args:
        case_id: its name.
        raw: (C, X, Y, Z) float32 in the data's own units.
        scaled: (C, X, Y, Z) float32, about [-1, 1].
        label: (X, Y, Z) int16.
        grid: the grid of all three, in canonical axes.
    """

    case_id: str
    raw: np.ndarray
    scaled: np.ndarray
    label: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class View:
    """The field of view, spacing and scaling in which cases are compared.

    Args:
        shape: voxels along (X, Y, Z).
        spacing_mm: voxel size.
        scaling: how a case's own scale is measured.
        scale: one scale for all cases; None scales each by its own voxels.
        limit: bound of scaled values.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    scaling: IntensitySettings
    scale: Scale | None
    limit: float

    @classmethod
    def of(cls, description: ImageDescription) -> View:
        """That of a generator."""
        scale, limit = description.common_scale, description.intensity.limit
        return cls(description.shape, description.spacing_mm, description.scaling, scale, limit)

    def conform(self, case: Case) -> ConformedCase:
        """A case in a field of view of its own, as training lays it over real cases."""
        frame = Frame.around(Volume(case.label, case.grid), self.shape, self.spacing_mm)
        return self.conform_in(frame, case, frame.label_in(case.label))

    def conform_in(self, frame: Frame, case: Case, label: np.ndarray) -> ConformedCase:
        """A case in a frame that is given, with its label (X, Y, Z) there."""
        # Every image is scaled by its own voxels within the field of view, whether it is real or synthetic: a synthetic
        # one has no others, and a figure must not depend on which training case lent it its scale.
        raw = frame.image_in(case.image)
        scale = self.scale or measure_scale(raw, self.scaling)
        return ConformedCase(case.case_id, raw, scale.apply(raw, self.limit), label, frame.grid)


def conform(case: Case, description: ImageDescription) -> ConformedCase:
    """A case in a generator's view."""
    return View.of(description).conform(case)


def conform_to(case: Case, real: ConformedCase, description: ImageDescription) -> ConformedCase:
    """A synthetic case in the field of view of the real case whose mask it was made for.

    The label is the one that the generator was given, not its copy that was brought to the pool's grid and back.
    """
    return View.of(description).conform_in(Frame(case.grid, real.grid), case, real.label)
