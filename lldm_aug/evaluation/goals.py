"""The bounds that figures are held against."""

from __future__ import annotations

from lldm_aug.report.criterion import Goal

MASK_CONSISTENCY = Goal(low=0.95)
"""Dice of the evaluation segmenter on synthetic images, as a fraction of its Dice on real ones."""
KID = Goal(high=2.0)
"""KID of synthetic to real images, in units of KID between two halves of the real ones."""
TEXTURE = Goal(low=0.85, high=1.15)
"""High-pass standard deviation of liver parenchyma, synthetic over real."""
SIGNAL = Goal(low=-0.25, high=0.25)
"""Difference of a structure's mean, or standard deviation, in standard deviations of its real voxels."""
ADEQUATE_RATIO = 1.8
"""Liver : vessel signal above which a hepatobiliary phase counts as adequate."""
ADEQUATE_SHARE = Goal(low=0.95)
"""Share of samples above that ratio."""
COPIES = Goal(high=0.0)
"""Pairs that are called copies of a training case."""
CHANCE = 0.01
TOO_CLOSE = Goal(low=CHANCE)
"""P-value of the test whether pairs are closer to training cases than held-out real cases are."""
SECONDS = Goal(high=2.0)
"""For one pair of image and mask, on two cores."""
OVERHEAD = Goal(high=1.02)
"""Time of an iteration of blended training, as a multiple of nnU-Net's own."""
CHOICE_MICROSECONDS = Goal(high=50.0)
"""For choosing a case from a pool of 20,000."""
HOOK_MILLISECONDS = Goal(high=1.0)
"""That the start-up hook adds to any interpreter."""
INPAINTING_SECONDS = Goal(high=0.5)
"""For a lesion of 30 mm in a host of 96 x 96 x 64 voxels, on two cores, without files."""
SAMPLES_PER_SECOND = Goal(low=3.0)
"""Samples edited in memory, on two cores."""
