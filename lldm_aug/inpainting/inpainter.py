"""What gives a region of a host new contents, and lays them into it without a seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lldm_aug.anatomy.measures import box_around
from lldm_aug.data.raw import Case
from lldm_aug.models.texture import KERNEL_VOXELS, SMOOTHING_VOXELS

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


SOFT_MM = 4.0
"""Width of the border over which the host turns into what was painted, inside of the region."""


def blended(
    host: np.ndarray, painted: np.ndarray, region: np.ndarray, spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """A host with a region of another image, softly from the region's border inwards.

    Texture keeps its strength in the border: the mean of two independent textures would have less than either.

    Args:
        host: (C, X, Y, Z) float32.
        painted: likewise; only the region matters.
        region: (X, Y, Z) booleans, some of them True.
        spacing_mm: voxel size.

    Returns:
        (C, X, Y, Z) float32, equal to the host outside of the region.
    """
    box = box_around(region, (KERNEL_VOXELS,) * 3)
    inside = region[box]
    depth_mm = distance_transform_edt(np.pad(inside, 1, mode="edge"), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    share = np.clip(depth_mm / SOFT_MM, 0, 1).astype(np.float32)
    texture_shares = np.sqrt(share**2 + (1 - share) ** 2)
    out = host.copy()
    for channel, (real, new) in enumerate(zip(host, painted, strict=True)):
        before, after = real[box], np.where(inside, new[box], real[box])
        smooth_before, smooth_after = (gaussian_filter(x, SMOOTHING_VOXELS) for x in (before, after))
        fine = (1 - share) * (before - smooth_before) + share * (after - smooth_after)
        mixed = (1 - share) * smooth_before + share * smooth_after + fine / texture_shares
        out[channel][box] = np.where(inside, mixed, before)
    return out
