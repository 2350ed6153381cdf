"""Dice overlap of label maps, structure by structure."""

from __future__ import annotations

import numpy as np

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
