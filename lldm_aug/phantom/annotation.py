"""Labels as an annotator draws them on voxels that hold several tissues."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label, maximum, maximum_filter

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS, largest_component
from lldm_aug.anatomy.reconnect import reconnect
from lldm_aug.labels import HBP
from lldm_aug.phantom.frame import Factors
from lldm_aug.phantom.scanner import block_mean

HALF = 0.5 - 1e-6
LIVER, PORTAL, HEPATIC, TUMOUR = (HBP.value(name) for name in ("liver", "portal_vein", "hepatic_vein", "hcc"))


def annotate(fine: np.ndarray, factors: Factors) -> np.ndarray:
    """(X, Y, Z) int16 labels of voxels from the labels of their parts.

    A voxel belongs to the liver if the liver, with all that lies in it, fills at least half of the voxel; the result is
    reduced to one connected component. Vessels and tumours are drawn in the same manner. A tumour that is too small to
    fill half of any voxel gets those that it fills at least half as much as its fullest one, and its two fullest in any
    case. Thin branches that come apart are joined along the voxels that they fill most. Specks are removed.

    Args:
        fine: labels of the parts, in the schema `lldm_aug.labels.HBP`.
        factors: parts of a voxel along each axis.
    """
    inside = largest_component(block_mean(fine > 0, factors) >= HALF)
    share = {number: block_mean(fine == number, factors) * inside for number in (PORTAL, HEPATIC, TUMOUR)}
    labels = inside.astype(np.int16) * LIVER
    labels[_tumours(share[TUMOUR])] = TUMOUR
    for vein, rival in ((HEPATIC, PORTAL), (PORTAL, HEPATIC)):
        labels[_branches(share[vein], (share[rival] >= HALF) | (labels > LIVER))] = vein
    lost = _specks(labels == LIVER, SPECK_VOXELS)
    labels[lost] = maximum_filter(labels, 3)[lost]  # parenchyma walled in by a lesion or a vessel becomes part of it
    return labels


def _tumours(share: np.ndarray) -> np.ndarray:
    """Voxels filled at least half as much as the fullest voxel of the same tumour, the two fullest in any case."""
    components, count = label(share > 0, ANY_NEIGHBOUR)
    fullest = _highest(share, components, count)
    second = _highest(np.where(share == fullest[components], 0, share), components, count)
    drawn: np.ndarray = (share > 0) & ((share >= fullest[components] * HALF) | (share == second[components]))
    splinters = _specks(drawn, 2) & (share < fullest[components])
    return drawn & ~splinters


def _highest(share: np.ndarray, components: np.ndarray, count: int) -> np.ndarray:
    """(count + 1,) highest share in each connected component; 0 for what is in none."""
    highest = np.zeros(count + 1, dtype=np.float32)
    highest[1:] = maximum(share, components, np.arange(1, count + 1))
    return highest


def _branches(share: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Half-filled voxels, joined over less filled ones that nothing else has taken; one connected component."""
    free = np.where(taken, 0, share)
    filled = free >= HALF
    return largest_component(reconnect(filled & ~_specks(filled, SPECK_VOXELS), free), ANY_NEIGHBOUR)


def _specks(mask: np.ndarray, least: int) -> np.ndarray:
    """The connected components of fewer voxels than that."""
    components, _ = label(mask, ANY_NEIGHBOUR)
    small: np.ndarray = mask & (np.bincount(components.ravel())[components] < least)
    return small
