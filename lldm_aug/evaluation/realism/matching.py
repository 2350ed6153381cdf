"""Real and painted lesions of equal sizes: size alone must not tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lldm_aug.evaluation.realism.patches import Patch
from lldm_aug.seeds import Part, numpy_rng

SAME_SIZE = 1.25
"""Diameters of a pair differ by at most this factor."""

Pair = tuple[Patch, Patch]
"""A real patch and a painted one."""


def matched(real: Sequence[Patch], painted: Sequence[Patch], *seed: Part) -> list[Pair]:
    """Each painted lesion, in random order, with the real one of the nearest diameter that is left.

    What finds no partner is left out.
    """
    left = list(real)
    pairs = []
    for i in numpy_rng("matching", *seed).permutation(len(painted)):
        if not left:
            break
        patch = painted[int(i)]
        ratios = [abs(np.log(patch.diameter_mm / other.diameter_mm)) for other in left]
        nearest = int(np.argmin(ratios))
        if ratios[nearest] <= np.log(SAME_SIZE):
            pairs.append((left.pop(nearest), patch))
    return pairs
