"""What gives a region of a host new contents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lldm_aug.data.raw import Case

DARKEST_SHARE = 1e-6
"""Of the host's range: what is darkest in a painted region where intensities are no whole numbers."""


@dataclass(frozen=True)
class Painted:
    """A host with a painted region.

    Args:
        image: (C, X, Y, Z) float32 in the host's own units, equal to the host outside of the region.
        donors: ids of the cases that the new contents come from; none where they were generated.
    """

    image: np.ndarray
    donors: tuple[str, ...] = ()


class Inpainter(Protocol):
    """Gives a region of a host new contents; the same ones for the same seed."""

    @property
    def kind(self) -> str:
        """Its name in a manifest."""

    def inpaint(self, host: Case, label: np.ndarray, region: np.ndarray, seed: int) -> Painted:
        """A host with a painted region.

        Args:
            host: a real case with its own mask.
            label: (X, Y, Z) the mask to paint for, on the host's grid.
            region: (X, Y, Z) booleans, some of them True.
            seed: of everything random.

        Raises:
            InvalidVolume: when this region cannot be painted in this host.
        """


def laid_into(host: Case, image: np.ndarray, label: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A host (C, X, Y, Z) that shows another image in a region, in the range of its own intensities.

    What is exactly zero in every channel stays so outside of structures: nnU-Net takes it for air. Nothing else becomes
    exactly zero.
    """
    shape = (-1, 1, 1, 1)
    low, high = (np.reshape(bound(host.image, axis=(1, 2, 3)), shape) for bound in (np.min, np.max))
    painted = np.clip(image, low, high).astype(np.float32)
    whole_numbers = bool(np.all(np.rint(host.image) == host.image))
    if whole_numbers:
        painted = np.rint(painted)
    air = (host.image == 0).all(axis=0)
    if air.any():
        darkest = 1.0 if whole_numbers else DARKEST_SHARE * float((high - low).max())
        painted[:, (painted == 0).all(axis=0)] = darkest
    change = region & ~(air & (label == 0))
    laid: np.ndarray = np.where(change, painted, host.image)
    return laid
