"""The tissues of the phantom with their relaxation times about 20 minutes after Gd-EOB-DTPA, at 3 T."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

LESIONS = 8
"""Most lesions a liver has; each has its own tissues."""


class Tissue(IntEnum):
    """What a point of the phantom consists of; from `TUMOUR` on, the tissue of lesion n is that code + n."""

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
    CORTICAL_BONE = 17
    DISC = 18
    CORD = 19
    MEDULLA = 20
    RENAL_PELVIS = 21
    STOMACH_FLUID = 22
    GAS = 23
    GALLBLADDER_BILE = 24
    BILE_DUCT = 25
    LIVER_DUCT = 26
    BOWEL_CONTENT = 27
    BOWEL_AGENT = 28
    PANCREAS = 29
    ASCITES = 30
    MYOCARDIUM = 31
    TUMOUR = 32
    NODULE = TUMOUR + LESIONS
    NECROSIS = TUMOUR + 2 * LESIONS
    CAPSULE = TUMOUR + 3 * LESIONS


LEVELS = int(Tissue.CAPSULE) + LESIONS

# T1 in ms after uptake and relative proton density (fat: what suppression leaves), starting from native values as they
# are usual at 3 T, shortened by what is left of the agent in blood and extracellular space. The values were chosen by
# eye, so that the tissues have the order of brightness of the hepatobiliary phase; none is cited from a measurement.
# Liver and lesions are drawn for each person.
PROPERTIES: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (1000, 0.0),
    Tissue.SKIN_FAT: (380, 0.10),
    Tissue.MUSCLE: (1050, 0.85),
    Tissue.INNER_FAT: (380, 0.12),
    Tissue.LUNG: (1200, 0.08),
    Tissue.BONE: (600, 0.40),
    Tissue.FLUID: (3500, 1.0),
    Tissue.BLOOD: (1150, 0.95),
    Tissue.LIVER: (330, 0.85),
    Tissue.PORTAL_VEIN: (1150, 0.95),
    Tissue.HEPATIC_VEIN: (1150, 0.95),
    Tissue.SPLEEN: (820, 0.90),
    Tissue.KIDNEY: (520, 0.90),
    Tissue.STOMACH: (900, 0.85),
    Tissue.GALLBLADDER: (190, 1.0),
    Tissue.HEART: (1150, 0.95),
    Tissue.BOWEL: (850, 0.85),
    Tissue.CORTICAL_BONE: (1000, 0.06),
    Tissue.DISC: (1100, 0.60),
    Tissue.CORD: (950, 0.85),
    Tissue.MEDULLA: (400, 0.90),
    Tissue.RENAL_PELVIS: (230, 0.95),
    Tissue.STOMACH_FLUID: (2600, 0.95),
    Tissue.GAS: (1000, 0.0),
    Tissue.GALLBLADDER_BILE: (1300, 1.0),
    Tissue.BILE_DUCT: (200, 1.0),
    Tissue.LIVER_DUCT: (200, 1.0),
    Tissue.BOWEL_CONTENT: (1700, 0.85),
    Tissue.BOWEL_AGENT: (260, 0.95),
    Tissue.PANCREAS: (640, 0.85),
    Tissue.ASCITES: (3000, 1.0),
    Tissue.MYOCARDIUM: (850, 0.85),
}

LESION_DENSITY = 0.9

LABEL_OF_TISSUE = np.zeros(LEVELS, dtype=np.int16)
"""Label of each tissue in the schema `lldm_aug.labels.HBP`; bile ducts inside the liver are liver."""
LABEL_OF_TISSUE[[Tissue.LIVER, Tissue.LIVER_DUCT]] = 1
LABEL_OF_TISSUE[Tissue.PORTAL_VEIN] = 2
LABEL_OF_TISSUE[Tissue.HEPATIC_VEIN] = 3
LABEL_OF_TISSUE[Tissue.TUMOUR :] = 4
