"""Real and synthetic cases as figures are taken from them: all on one grid, raw and scaled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import Scale, measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.resample import canonical_grid
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.volume import Volume

if TYPE_CHECKING:
    from lldm_aug.models.image_model import ImageDescription

ROUNDING = 1e-3
"""Share of a voxel that an extent may lack: affines are stored in single precision."""


@dataclass(frozen=True)
class ConformedCase:
    """One case on the grid on which all cases are compared.

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

    @classmethod
    def common(cls, pool: PoolDataset, real: RawDataset, case_ids: Sequence[str]) -> View:
        """What every pair of a pool and every one of some real cases covers.

        That is the pairs' usual spacing (median), and along each axis the smallest extent of all pairs and real cases.
        Real cases are cut to it as training lays its field of view over them: around the labelled structures.
        """
        pairs = [read_label(pool.label_path(case)).grid for case in pool.cases]
        cases = [real.load_label(case_id).grid for case_id in case_ids]
        shape, spacing_mm = common_field(pairs, cases)
        scaling = IntensitySettings()
        return cls(shape, spacing_mm, scaling, real.common_scale(case_ids, scaling), scaling.limit)

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


@dataclass(frozen=True)
class Reader:
    """Reads the cases of a comparison in one view, masks in the pairs' schema.

    Args:
        view: the view.
        schema: of the pairs.
        real: data set of the real cases.
        lent: real cases whose very masks pairs may have.
        training: data set that the generator was trained on, if it is at hand.
    """

    view: View
    schema: LabelSchema
    real: RawDataset
    lent: Collection[str] = ()
    training: RawDataset | None = None

    def pair(self, pool: PoolDataset, pair: PoolCase) -> ConformedCase:
        """A pair of a pool; one that was made for the mask of a real case lies as that case does.

        Its label is then the one that the generator was given, not a copy that was brought to the pool's grid and back.
        """
        case = pool.read(pair)
        if not self.is_lent(pair):
            return self.view.conform(case)
        assert pair.mask.source_case is not None  # it is one of those that lent masks
        real = self.real_case(pair.mask.source_case)
        return self.view.conform_in(Frame(case.grid, real.grid), case, real.label)

    def is_lent(self, pair: PoolCase) -> bool:
        """Whether a pair has the very mask of a real case of the comparison."""
        mask = pair.mask
        return mask.kind == "real" and mask.source_dataset == self.real.name and mask.source_case in self.lent

    def real_case(self, case_id: str) -> ConformedCase:
        """A held-out real case."""
        return self._of(self.real, case_id)

    def training_case(self, case_id: str) -> ConformedCase:
        """A training case."""
        assert self.training is not None
        return self._of(self.training, case_id)

    def _of(self, dataset: RawDataset, case_id: str) -> ConformedCase:
        case = dataset.load(case_id)
        label = Relabelling(dataset.schema, self.schema).apply(case.label)
        return self.view.conform(replace(case, label=label))


def common_field(
    pairs: Sequence[Grid], cases: Sequence[Grid]
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape (X, Y, Z) and spacing of `View.common`."""
    spacing = np.median([canonical_grid(grid).spacing_mm for grid in pairs], axis=0)
    canonical = [canonical_grid(grid) for grid in (*pairs, *cases)]
    extent = np.min([np.multiply(grid.shape, grid.spacing_mm) for grid in canonical], axis=0)
    x, y, z = (max(1, int(n)) for n in np.floor(extent / spacing + ROUNDING))
    return (x, y, z), (float(spacing[0]), float(spacing[1]), float(spacing[2]))
