"""The quality filter for inpainted pairs: only the region is judged, since the rest is the host's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import distance_transform_edt

from lldm_aug.anatomy.measures import box_around
from lldm_aug.data.raw import Case
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.dice import dice
from lldm_aug.models.texture import FEWEST_VOXELS, noise_level
from lldm_aug.pool.rejected import Reason

FEWEST_SEEN = 50
"""A structure with fewer voxels in the region is not asked of the segmenter: a rim of it says little."""
INVENTED_SHARE = 0.1
"""A structure that the mask lacks in the region may be seen in this share of the region's labelled voxels."""
RIM_FACTOR = 1.4
"""Steps across the region's rim may be this many times larger than in the host."""
FEWEST_STEPS = 100
"""Fewer steps within one structure say too little about a seam."""
NOISE_FACTOR = 1.6
"""Noise in the region may be this many times weaker or stronger than around it."""
RING_MM = 12.0
"""How far around the region its surroundings reach."""


def segmentation_reasons(
    found: np.ndarray, label: np.ndarray, region: np.ndarray, schema: LabelSchema, least: Mapping[str, float]
) -> list[Reason]:
    """What the evaluation segmenter does not confirm in the region.

    Args:
        found: (X, Y, Z) labels that it finds.
        label: (X, Y, Z) labels of the mask.
        region: (X, Y, Z) booleans.
        schema: of both.
        least: Dice that each structure has to reach.
    """
    seen, wanted = found[region], label[region]
    scores = dice(seen, wanted, schema)
    labelled = max(int((wanted > 0).sum()), 1)
    reasons = []
    for name, value in schema.values.items():
        voxels, share = int((wanted == value).sum()), float((seen == value).sum() / labelled)
        if voxels >= FEWEST_SEEN and scores[name] < least[name]:
            reasons.append(Reason(check="region dice", structure=name, value=scores[name], low=least[name], high=1))
        elif not voxels and share > INVENTED_SHARE:
            reasons.append(Reason(check="region invented", structure=name, value=share, low=0, high=INVENTED_SHARE))
    return reasons


def border_reasons(image: np.ndarray, label: np.ndarray, host: Case, region: np.ndarray) -> list[Reason]:
    """Whether there is a seam: steps across the region's rim that the host does not have.

    Compared are the same pairs of neighbours in image and host, one inside and one outside, both in one structure
    before and after: borders of structures, such as the rims of real lesions, are no seams.

    Args:
        image: (C, X, Y, Z).
        label: (X, Y, Z) labels of the mask.
        host: the real case.
        region: (X, Y, Z) booleans.
    """
    steps = [
        (_steps(now, region, label, host.label), _steps(was, region, label, host.label))
        for now, was in zip(image, host.image, strict=True)
    ]
    ratios = [_root_mean_square(now) / _root_mean_square(was) for now, was in steps if len(now) >= FEWEST_STEPS]
    worst = max(ratios, default=1.0)
    return [Reason(check="region border", value=worst, low=0, high=RIM_FACTOR)] if worst > RIM_FACTOR else []


def noise_reasons(image: np.ndarray, label: np.ndarray, host: Case, region: np.ndarray) -> list[Reason]:
    """Whether noise in the region is as strong as around it, in the structure that most of the region belongs to.

    Args:
        image: (C, X, Y, Z).
        label: (X, Y, Z) labels of the mask.
        host: the real case.
        region: (X, Y, Z) booleans.
    """
    spacing_mm = host.grid.spacing_mm
    box = box_around(region, [int(np.ceil(RING_MM / s)) for s in spacing_mm])
    inside, labels = region[box], label[box]
    ring = ~inside & (distance_transform_edt(~inside, sampling=spacing_mm) <= RING_MM)
    structure = labels == np.bincount(np.maximum(labels[inside], 0)).argmax()
    inside, ring = inside & structure, ring & structure
    if min(inside.sum(), ring.sum()) < FEWEST_VOXELS:
        return []
    low, high = 1 / NOISE_FACTOR, NOISE_FACTOR
    ratios = [noise_level(c[box], inside) / max(noise_level(c[box], ring), 1e-6) for c in image]
    worst = max(ratios, key=lambda ratio: abs(np.log(max(ratio, 1e-6))))
    return [] if low <= worst <= high else [Reason(check="region noise", value=worst, low=low, high=high)]


def _steps(channel: np.ndarray, region: np.ndarray, label: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(N,) differences of neighbours across a region's rim, both of which show one structure, before and after."""
    found = []
    for axis in range(3):
        here, there = (tuple(side if a == axis else np.s_[:] for a in range(3)) for side in (np.s_[:-1], np.s_[1:]))
        across = region[here] != region[there]
        for labels in (label, before):
            across &= labels[here] == labels[there]
        found.append((channel[here][across] - channel[there][across]).astype(np.float64))
    return np.concatenate(found)


def _root_mean_square(values: np.ndarray) -> float:
    return float(max(np.sqrt((values**2).mean()), 1e-6))
