"""Dice overlap of label maps, structure by structure; and centre-line Dice.

Centre-line Dice says whether the course of thin structures such as vessels is found.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, label, maximum_filter

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.labels import LabelSchema


def dice(prediction: np.ndarray, truth: np.ndarray, schema: LabelSchema) -> dict[str, float]:
    """Dice coefficient of each structure of two (X, Y, Z) integer maps.

    Both empty gives NaN, for there is nothing to agree on; only one empty gives 0, so that false alarms count. Voxels
    of the ignore label in ``truth`` are left out.
    """
    counted = np.ones(truth.shape, bool) if schema.ignore is None else truth != schema.ignore
    return {name: _overlap(prediction[counted] == v, truth[counted] == v) for name, v in schema.values.items()}


def shown_dice(prediction: np.ndarray, truth: np.ndarray, schema: LabelSchema) -> dict[str, float]:
    """As `dice`, but NaN for structures that the truth lacks: a false alarm is no low overlap."""
    scores = dice(prediction, truth, schema)
    return {name: scores[name] if (truth == v).any() else float("nan") for name, v in schema.values.items()}


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")


def cl_dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Centre-line Dice of two boolean (X, Y, Z) structures (Shit et al., CVPR 2021, arXiv 2003.07311).

    It is the harmonic mean of two fractions: how much of the prediction's skeleton lies in the truth, and how much of
    the truth's skeleton lies in the prediction. If both are empty the result is NaN, if only one is, 0.
    """
    if not prediction.any() or not truth.any():
        return float("nan") if prediction.any() == truth.any() else 0.0
    (box,) = find_objects((prediction | truth).astype(np.uint8))
    found, true = prediction[box], truth[box]
    precision, recall = _share_inside(centre_line(found), true), _share_inside(centre_line(true), found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def centre_line(structure: np.ndarray) -> np.ndarray:
    """Skeleton of a boolean (X, Y, Z) structure, one voxel thin (Lee et al., CVGIP 1994).

    Thinning can delete a connected component that has an even number of voxels across, such as a tube of 2 x 2. For
    such a component the skeleton is its voxels that are at least as deep inside as all their neighbours, so that every
    component keeps at least one voxel.
    """
    from skimage.morphology import skeletonize

    skeleton: np.ndarray = skeletonize(np.ascontiguousarray(structure)) > 0
    components, count = label(structure, ANY_NEIGHBOUR)
    lost = np.setdiff1d(np.arange(1, count + 1), components[skeleton])
    return skeleton | _ridge(np.isin(components, lost)) if len(lost) else skeleton


def _ridge(structure: np.ndarray) -> np.ndarray:
    depth = distance_transform_edt(np.pad(structure, 1))[1:-1, 1:-1, 1:-1]
    ridge: np.ndarray = structure & (depth == maximum_filter(depth, footprint=ANY_NEIGHBOUR))
    return ridge


def _share_inside(line: np.ndarray, structure: np.ndarray) -> float:
    return np.count_nonzero(line & structure) / np.count_nonzero(line)
