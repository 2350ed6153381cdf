"""The field of view in which a pool and real cases are compared: what every one of them covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.intensity import Scale, common_scale, measure_scale, scales_by_dataset
from lldm_aug.data.resample import canonical_grid
from lldm_aug.evaluation.conformed import View
from lldm_aug.evaluation.fidelity.plan import FidelityPlan
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import read_label

ROUNDING = 1e-3
"""Share of a voxel that an extent may lack: affines are stored in single precision."""


def common_view(plan: FidelityPlan) -> View:
    """The pairs' usual spacing (median), and along each axis the smallest extent of all pairs and real cases.

    Real cases are cut to it as training lays its field of view over them: around the labelled structures.
    """
    pool, real = plan.pool, plan.real.dataset
    pairs = [read_label(pool.label_path(case)).grid for case in pool.cases]
    cases = [real.load_label(case_id).grid for case_id in plan.real.case_ids]
    shape, spacing_mm = common_field(pairs, cases)
    scaling = IntensitySettings()
    scale = _scale(plan, scaling) if scales_by_dataset(scaling, real.channel_names) else None
    return View(shape, spacing_mm, scaling, scale, scaling.limit)


def common_field(
    pairs: Sequence[Grid], cases: Sequence[Grid]
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Shape (X, Y, Z) and spacing of `common_view`."""
    spacing = np.median([canonical_grid(grid).spacing_mm for grid in pairs], axis=0)
    canonical = [canonical_grid(grid) for grid in (*pairs, *cases)]
    extent = np.min([np.multiply(grid.shape, grid.spacing_mm) for grid in canonical], axis=0)
    x, y, z = (max(1, int(n)) for n in np.floor(extent / spacing + ROUNDING))
    return (x, y, z), (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def _scale(plan: FidelityPlan, scaling: IntensitySettings) -> Scale:
    real = plan.real
    return common_scale([measure_scale(real.dataset.load(case_id).image, scaling) for case_id in real.case_ids])
