"""Whether pairs differ from each other as much as real cases do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np

from lldm_aug.evaluation.bootstrap import bootstrap
from lldm_aug.evaluation.measure.meter import MeasuredCase
from lldm_aug.evaluation.measure.neighbours import cell_distance, euclidean
from lldm_aug.report.criterion import finite, ratio
from lldm_aug.report.data_table import Cell, Table

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales (Wang et al., Asilomar 2003); the first ones, made to sum to 1, where a volume is too small."""
KERNEL = 7
SIGMA = 1.5
RANGE = 2.0
"""Scaled intensities span about [-1, 1]."""
COLUMNS = (
    *("measure", "synthetic", "low", "high", "real", "real_low", "real_high"),
    *("ratio", "n_synthetic", "n_real"),
)
T = TypeVar("T")


Matrices = dict[str, np.ndarray]
"""Of each measure, how alike or different each two cases of a set are: (N, N), 0 on the diagonal."""


def between_cases(cases: Sequence[MeasuredCase], volumes: Sequence[np.ndarray]) -> Matrices:
    """How alike the cases of a set are among themselves.

    Args:
        cases: the set.
        volumes: scaled (C, X, Y, Z) images of the first of them.
    """
    found: Matrices = {}
    if scales := scales_for(volumes[0].shape[1:]):
        found[f"MS-SSIM, {scales} scales"] = _each_two(volumes, lambda a, b: ms_ssim(a, b, scales))
    pooled = [case.likeness.pooled for case in cases]
    found["distance of features"] = euclidean(pooled, pooled)
    found["distance of masks"] = _each_two([case.likeness.cells for case in cases], cell_distance)
    return found


def diversity(synthetic: Matrices, real: Matrices, seed: int) -> Table:
    """Table ``diversity``: how alike the cases of each set are among themselves, from `between_cases` of each."""
    rows = tuple(_row(measure, [synthetic[measure], real[measure]], seed) for measure in synthetic)
    similar = [matrix for measure, matrix in real.items() if measure.startswith("MS-SSIM")]
    told = "the volumes are too small for MS-SSIM in two scales"
    if similar:
        told = f"MS-SSIM with a Gaussian window of {KERNEL} voxels, of the first {len(similar[0])} cases"
    return Table(
        name="diversity",
        title="How the cases of a set differ from each other: means over all pairs of different cases",
        columns=COLUMNS,
        rows=rows,
        note="MS-SSIM is 1 for equal images: higher than among real cases means less diverse. Distances: lower means "
        f"less diverse; {told}.",
    )


def scales_for(shape: Sequence[int]) -> int:
    """Scales of MS-SSIM for a volume: 5 or fewer, 0 for one that is too small even for two.

    The window has to fit into the coarsest one, and MONAI asks for a side of over (n - 1)^2 (window - 1) besides.
    """
    side = min(shape)
    most = range(2, len(MS_SSIM_WEIGHTS) + 1)
    fitting = [n for n in most if side // (n - 1) ** 2 > KERNEL - 1 and side // 2 ** (n - 1) >= KERNEL]
    return max(fitting, default=0)


def ms_ssim(one: np.ndarray, other: np.ndarray, scales: int) -> float:
    """Multi-scale structural similarity of two (C, X, Y, Z) scaled images."""
    import torch
    from monai.metrics.regression import compute_ms_ssim

    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    found = compute_ms_ssim(
        torch.from_numpy(one)[None],
        torch.from_numpy(other)[None],
        spatial_dims=3,
        data_range=RANGE,
        kernel_size=KERNEL,
        kernel_sigma=SIGMA,
        weights=tuple(weights / weights.sum()),
    )
    return float(found)


def _row(measure: str, matrices: Sequence[np.ndarray], seed: int) -> tuple[Cell, ...]:
    found = []
    for name, matrix in zip(("synthetic", "real"), matrices, strict=True):

        def mean(counts: np.ndarray, matrix: np.ndarray = matrix) -> float:
            pairs = np.outer(counts, counts) * (1 - np.eye(len(counts)))
            return float((pairs * matrix).sum() / pairs.sum()) if pairs.sum() else float("nan")

        found.append(bootstrap(mean, [len(matrix)], seed, measure, name))
    cells = [cell for interval in found for cell in interval.cells]
    return (measure, *cells, finite(ratio(found[0].value, found[1].value)), *map(len, matrices))


def _each_two(cases: Sequence[T], measure: Callable[[T, T], float]) -> np.ndarray:
    """(N, N) symmetric, 0 on the diagonal."""
    matrix = np.zeros((len(cases), len(cases)))
    for i, j in combinations(range(len(cases)), 2):
        matrix[i, j] = matrix[j, i] = measure(cases[i], cases[j])
    return matrix
