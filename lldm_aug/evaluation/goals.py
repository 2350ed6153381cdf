"""The bounds that figures are held against."""

from __future__ import annotations

from lldm_aug.report.criterion import Goal

FAITHFULNESS = Goal(low=0.95)
"""Referee's Dice on synthetic images, as a share of its Dice on real ones."""
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
COPIES = Goal(low=1.0)
"""Mean distance to the nearest training case, synthetic over held-out real."""
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
