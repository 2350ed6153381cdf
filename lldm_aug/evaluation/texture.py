"""How uneven liver parenchyma is from voxel to voxel; plain L1 autoencoders make it too smooth."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion

from lldm_aug.labels import LabelSchema
from lldm_aug.masks.validity import LIVER
from lldm_aug.models.texture import high_pass_within

MARGIN_VOXELS = 2
"""Parenchyma closer to vessels, lesions or the liver's rim is left out: partial volume there is no texture."""
FEWEST_VOXELS = 64


def parenchyma_texture(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> float:
    """Standard deviation of the high-pass part of liver parenchyma.

    Only parenchyma takes part in the smoothing (see `high_pass_within`): otherwise dark vessels two voxels away would
    lend it twice as much again (measured on phantoms), and blurred edges would pass for lively parenchyma.

    Args:
        image: (C, X, Y, Z) scaled intensities; channels are averaged as variances.
        label: (X, Y, Z) integers.
        schema: what they stand for.

    Returns:
        NaN without a liver in the schema, or with too little of it away from other structures.
    """
    if LIVER not in schema.names:
        return float("nan")
    inside = binary_erosion(label == schema.value(LIVER), iterations=MARGIN_VOXELS)
    if np.count_nonzero(inside) < FEWEST_VOXELS:
        return float("nan")
    return float(np.sqrt(np.mean([high_pass_within(channel, inside).var() for channel in image])))
