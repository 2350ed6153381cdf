"""A real or synthetic case as figures are taken from it: on the generator's grid, raw and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import measure_scale
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


def conform(case: Case, description: ImageDescription) -> ConformedCase:
    """A case in a field of view of its own, as training lays it over real cases."""
    frame = Frame.around(Volume(case.label, case.grid), description.shape, description.spacing_mm)
    return _conformed(case, frame, frame.label_in(case.label), description)


def conform_to(case: Case, real: ConformedCase, description: ImageDescription) -> ConformedCase:
    """A synthetic case in the field of view of the real case whose mask it was made for.

    The label is the one that the generator was given, not its copy that was brought to the pool's grid and back.
    """
    return _conformed(case, Frame(case.grid, real.grid), real.label, description)


def _conformed(case: Case, frame: Frame, label: np.ndarray, description: ImageDescription) -> ConformedCase:
    # Every image is scaled by its own voxels within the field of view, whether it is real or synthetic: a synthetic one
    # has no others, and a figure must not depend on which training case lent it its scale.
    raw = frame.image_in(case.image)
    intensity = description.intensity
    scale = intensity.scales[0] if len(intensity.scales) == 1 else measure_scale(raw, description.scaling)
    return ConformedCase(case.case_id, raw, scale.apply(raw, intensity.limit), label, frame.grid)
