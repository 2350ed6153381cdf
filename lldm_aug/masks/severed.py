"""Branches that tumours have cut off from their vessel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR
from lldm_aug.masks.site import Site

MAX_LOST = 0.06
"""Largest share of a vessel that tumours may overgrow and cut off together."""


def drop_severed(site: Site, labels: np.ndarray) -> list[str]:
    """Turns the parts that were cut off a vessel into what lesions lie in, and says which vessel has lost too much.

    Args:
        site: the mask as it was.
        labels: (X, Y, Z) as it is with its tumours; changed in place.
    """
    problems = []
    for name, value in site.vessels.items():
        before, after = site.labels == value, labels == value
        total = np.count_nonzero(before)
        if np.count_nonzero(after) == total:
            continue
        site.restore(labels, severed(before, after), site.hosts)
        lost = 1 - np.count_nonzero(labels == value) / total
        if lost > MAX_LOST:
            problems.append(f"tumours cut off {100 * lost:.0f} % of {name}")
    return problems


def severed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(X, Y, Z) what remains of each connected component of a structure, without its largest part.

    Args:
        before: (X, Y, Z) booleans.
        after: (X, Y, Z) booleans, a part of ``before``.
    """
    components, _ = label(before, ANY_NEIGHBOUR)
    parts, count = label(after, ANY_NEIGHBOUR)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    component_of = np.zeros(count + 1, dtype=int)
    component_of[parts[after]] = components[after]
    largest: dict[int, int] = {}
    for part in range(1, count + 1):
        rival = largest.setdefault(int(component_of[part]), part)
        if sizes[part] > sizes[rival]:
            largest[int(component_of[part])] = part
    lost: np.ndarray = after & ~np.isin(parts, list(largest.values()))
    return lost
