"""The tissues of the phantom with their relaxation times about 20 minutes after Gd-EOB-DTPA, at 3 T."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What a point of the phantom consists of; values from `TUMOUR` on are one lesion each."""

    AIR = 0
    SKIN_FAT = 1
    MUSCLE = 2
    INNER_FAT = 3
    LUNG = 4
    BONE = 5
    FLUID = 6
    BLOOD = 7
    LIVER = 8
    PORTAL_VEIN = 9
    HEPATIC_VEIN = 10
    SPLEEN = 11
    KIDNEY = 12
    STOMACH = 13
    GALLBLADDER = 14
    HEART = 15
    BOWEL = 16
    TUMOUR = 17


LEVELS = int(Tissue.TUMOUR) + 8

# T1 in ms after uptake and relative proton density (fat: what suppression leaves). Native 3 T values, shortened by
# what is left of the agent in blood and extracellular space; liver, blood and tumours are drawn for each case.
PROPERTIES: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (1000, 0.0),
    Tissue.SKIN_FAT: (380, 0.10),
    Tissue.MUSCLE: (1050, 0.85),
    Tissue.INNER_FAT: (380, 0.12),
    Tissue.LUNG: (1200, 0.10),
    Tissue.BONE: (600, 0.40),
    Tissue.FLUID: (3500, 1.0),
    Tissue.BLOOD: (1150, 0.95),
    Tissue.LIVER: (330, 0.85),
    Tissue.PORTAL_VEIN: (1150, 0.95),
    Tissue.HEPATIC_VEIN: (1150, 0.95),
    Tissue.SPLEEN: (820, 0.90),
    Tissue.KIDNEY: (480, 0.90),
    Tissue.STOMACH: (2200, 0.90),
    Tissue.GALLBLADDER: (190, 1.0),
    Tissue.HEART: (950, 0.90),
    Tissue.BOWEL: (1000, 0.80),
}

LABEL_OF_TISSUE = np.zeros(LEVELS, dtype=np.int16)
"""Label of each tissue in the schema `lldm_aug.labels.HBP`."""
LABEL_OF_TISSUE[Tissue.LIVER] = 1
LABEL_OF_TISSUE[Tissue.PORTAL_VEIN] = 2
LABEL_OF_TISSUE[Tissue.HEPATIC_VEIN] = 3
LABEL_OF_TISSUE[Tissue.TUMOUR :] = 4
