"""Lesion-wise detection, by size: how many lesions are found, and how many of the predicted ones are lesions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label
from scipy.optimize import linear_sum_assignment

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm

Spacing = tuple[float, float, float]
ANY_SIZE = "all"
SIZES_MM = {"below 10": 0.0, "10 to 20": 10.0, "20 to 50": 20.0, "from 50": 50.0}
"""Classes by the diameter of the ball of a lesion's volume: a name, and the least diameter. LI-RADS has limits at 10 mm
and 20 mm, the staging of HCC one at 50 mm."""
LEAST_IOU = 0.1
"""Least intersection over union at which a predicted component counts as a lesion's (nnDetection, arXiv 2106.00817)."""


@dataclass(frozen=True)
class Detection:
    """Counts of lesions; they may be summed over cases.

    Args:
        true: lesions in the truth.
        found: those of them that were found.
        predicted: connected components of the prediction.
        right: those of them that match a lesion.
    """

    true: int = 0
    found: int = 0
    predicted: int = 0
    right: int = 0

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.true + other.true,
            self.found + other.found,
            self.predicted + other.predicted,
            self.right + other.right,
        )

    @property
    def recall(self) -> float:
        """Share of the lesions that are found; NaN without lesions."""
        return self.found / self.true if self.true else float("nan")

    @property
    def precision(self) -> float:
        """Share of the predicted components that are lesions; NaN if nothing is predicted."""
        return self.right / self.predicted if self.predicted else float("nan")

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if truth and prediction have no lesions, 0 if only one of them has some."""
        wrong, missed = self.predicted - self.right, self.true - self.found
        hits = self.found + self.right
        return hits / (hits + wrong + missed) if hits + wrong + missed else float("nan")


def detect(prediction: np.ndarray, truth: np.ndarray, spacing_mm: Spacing) -> dict[str, Detection]:
    """Counts of two boolean (X, Y, Z) maps by size class, and for ``all`` of them.

    Lesions are connected components, whose voxels touch by face, edge or corner. Each predicted component is matched
    with one lesion at most, and each lesion with one component: the matching is that of the greatest total intersection
    over union, in which each pair has at least `LEAST_IOU`. True lesions and predicted components are counted in the
    classes of their own sizes.
    """
    true, found = _components(truth), _components(prediction)
    overlap = np.zeros((true.max(initial=0), found.max(initial=0)))
    both = (true > 0) & (found > 0)
    np.add.at(overlap, (true[both] - 1, found[both] - 1), 1)
    volumes, finds = _volumes(true), _volumes(found)
    iou = overlap / np.maximum(volumes[:, None] + finds[None] - overlap, 1)
    iou[iou < LEAST_IOU] = 0
    rows, columns = linear_sum_assignment(iou, maximize=True)
    matched = iou[rows, columns] > 0
    voxel_mm3 = float(np.prod(spacing_mm))
    of_truth, of_finds = ([size_class(n * voxel_mm3) for n in sizes] for sizes in (volumes, finds))
    hit, right = {*rows[matched].tolist()}, {*columns[matched].tolist()}
    counts = {
        name: Detection(
            true=of_truth.count(name),
            found=sum(size == name and i in hit for i, size in enumerate(of_truth)),
            predicted=of_finds.count(name),
            right=sum(size == name and i in right for i, size in enumerate(of_finds)),
        )
        for name in SIZES_MM
    }
    return {ANY_SIZE: total(counts.values()), **counts}


def total(counts: Iterable[Detection]) -> Detection:
    """The sum of counts."""
    return sum(counts, Detection())


def size_class(volume_mm3: float) -> str:
    """The class in `SIZES_MM` of a lesion."""
    diameter = ball_diameter_mm(volume_mm3)
    return [name for name, least in SIZES_MM.items() if diameter >= least][-1]


def _components(structure: np.ndarray) -> np.ndarray:
    numbers: np.ndarray = label(structure, ANY_NEIGHBOUR)[0]
    return numbers


def _volumes(components: np.ndarray) -> np.ndarray:
    """Voxels of each connected component."""
    return np.bincount(components.ravel(), minlength=1)[1:]
