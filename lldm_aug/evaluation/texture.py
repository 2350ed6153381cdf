"""How uneven liver parenchyma is from voxel to voxel; plain L1 autoencoders make it too smooth."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion

from lldm_aug.labels import LabelSchema
from lldm_aug.masks.validity import LIVER
from lldm_aug.models.texture import high_pass


def parenchyma_texture(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> float:
    """Standard deviation of the high-pass part of liver parenchyma, one voxel away from all other structures.

    Args:
        image: (C, X, Y, Z) scaled intensities; channels are averaged as variances.
        label: (X, Y, Z) integers.
        schema: what they stand for.

    Returns:
        NaN without a liver in the schema or the mask.
    """
    if LIVER not in schema.names:
        return float("nan")
    inside = binary_erosion(label == schema.value(LIVER))
    if not inside.any():
        return float("nan")
    return float(np.sqrt(np.mean([high_pass(channel)[inside].var() for channel in image])))
