"""A lesion of another case in an image: in the shape that a mask asks for, with the host's own signal and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lldm_aug.anatomy.measures import box_around
from lldm_aug.data.raw import Case
from lldm_aug.inpainting.donors import Placement
from lldm_aug.inpainting.real_lesions import LesionPart
from lldm_aug.models.texture import SMOOTHING_VOXELS, ResidualNoise, measure_residual, noise_level

RING_MM = 12.0
"""How far around a lesion the signal and the noise of its surroundings are measured."""
FEWEST_VOXELS = 30
"""With fewer voxels around a lesion, all of the structures that it lies in are its surroundings."""
SOFT_VOXELS = 0.6
"""Standard deviation of the Gaussian that softens a lesion's border, in voxels of the finest spacing."""
CORE_SHARE = 0.3
"""The outermost voxels of a donor's lesion, which show its surroundings in part, are left out if this share remains."""

Spacing = tuple[float, float, float]


def paste(
    host: Case,
    place: LesionPart,
    donor: Case,
    lesion: LesionPart,
    placement: Placement,
    within: list[int],
    rng: np.random.Generator,
) -> None:
    """Puts a donor's lesion into the image of a host, in place.

    Its contrast to what surrounds it in the donor becomes its contrast to what surrounds it in the host, in proportion
    to how far intensities of the two cases are spread.

    Args:
        host: in canonical axes, with the mask to paint for.
        place: the lesion of that mask.
        donor: in canonical axes.
        lesion: the donor's lesion.
        placement: where the voxels of the place's box lie in the donor.
        within: labels of the structures that such lesions lie in.
        rng: draws noise that the donor lacks.
    """
    spacing_mm = host.grid.spacing_mm
    box = box_around(_in_volume(place, host.label.shape) > 0, [int(np.ceil(RING_MM / s)) for s in spacing_mm])
    wanted, shape = _in_volume(place, host.label.shape)[box], host.label[box].shape
    around = placement.shifted(np.array([b.start - p.start for b, p in zip(box, place.box, strict=True)]))
    pasted = around.take((_in_volume(lesion, donor.label.shape) > 0).astype(np.float32), shape, order=1) > 0.5
    labels = around.take(donor.label, shape, order=0)
    here = _ring(np.isin(host.label[box], within), wanted > 0, spacing_mm)
    there = _ring(np.isin(labels, within), pasted, spacing_mm)
    shares = _soft_shares(wanted, spacing_mm)
    cores = around.take(_in_volume(_core(lesion, donor.grid.spacing_mm), donor.label.shape), shape, order=0)
    takes = {value: _source_voxels(cores, value, spacing_mm) for value in shares}
    for number, channel in enumerate(host.image):
        values = around.take(donor.image[number], shape, order=1)
        own = _Surroundings.of(channel[box], here, channel, host.label, within)
        their = _Surroundings.of(values, there, donor.image[number], donor.label, within)
        matched = their.brought_to(own, values, rng)
        mixed = channel[box] * (1 - sum(shares.values()))
        for value, share in shares.items():
            mixed += share * matched[takes[value]]
        channel[box] = mixed


@dataclass(frozen=True)
class _Surroundings:
    """What surrounds a lesion in one channel.

    Args:
        signal: median intensity.
        noise: strength of the noise, as `noise_level`.
        residual_noise: the noise.
        spread: how far intensities of the case are spread.
    """

    signal: float
    noise: float
    residual_noise: ResidualNoise
    spread: float

    @classmethod
    def of(
        cls, part: np.ndarray, ring: np.ndarray, channel: np.ndarray, label: np.ndarray, within: list[int]
    ) -> _Surroundings:
        """Measured in a ring (x, y, z) of part of a case, or in all of the structures if it has too few voxels."""
        labelled = channel[box_around(label > 0, [0, 0, 0])]
        low, high = np.percentile(labelled, (1, 99))
        if np.count_nonzero(ring) < FEWEST_VOXELS:
            part, ring = channel, np.isin(label, within)
        if not ring.any():
            part, ring = channel, label > 0
        residual_noise = measure_residual(part[None], gaussian_filter(part, SMOOTHING_VOXELS)[None], ring)
        return cls(float(np.median(part[ring])), noise_level(part, ring), residual_noise, max(float(high - low), 1e-6))

    def brought_to(self, other: _Surroundings, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Intensities (x, y, z) of this lesion and its surroundings as they would be in other surroundings.

        Noise is as strong there: what is too strong is weakened, and what is missing (interpolation takes some) added.
        """
        gain = other.spread / self.spread
        ratio = self.noise * gain / max(other.noise, 1e-6)
        smooth = gaussian_filter(values, SMOOTHING_VOXELS)
        own = smooth + (values - smooth) / max(ratio, 1)
        missing = other.residual_noise.draw(rng, np.zeros(values.shape, np.int16))[0] * np.sqrt(max(0.0, 1 - ratio**2))
        found: np.ndarray = (own - self.signal) * gain + other.signal + missing
        return found


def _in_volume(part: LesionPart, shape: tuple[int, ...]) -> np.ndarray:
    """(X, Y, Z) the labels of a lesion in its whole image, 0 elsewhere."""
    whole = np.zeros(shape, dtype=np.int16)
    whole[part.box] = part.labels
    return whole


def _ring(structure: np.ndarray, lesion: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """The voxels of a structure near a lesion, but for those next to it, which show a part of it."""
    if not lesion.any():
        return np.zeros_like(lesion)
    distance_mm = distance_transform_edt(~lesion, sampling=spacing_mm)
    ring: np.ndarray = structure & (distance_mm > 1.5 * min(spacing_mm)) & (distance_mm <= RING_MM)
    return ring


def _soft_shares(wanted: np.ndarray, spacing_mm: Spacing) -> dict[int, np.ndarray]:
    """How much each label (x, y, z) of a lesion has to do with each voxel: softly from 1 inside to 0."""
    sigma = [SOFT_VOXELS * min(spacing_mm) / s for s in spacing_mm]
    return {
        int(value): gaussian_filter((wanted == value).astype(np.float32), sigma)
        for value in np.unique(wanted[wanted > 0])
    }


def _core(lesion: LesionPart, spacing_mm: Spacing) -> LesionPart:
    """A lesion without its outermost voxels, and those between two of its labels, if enough of each label is left."""
    labels = np.zeros_like(lesion.labels)
    for value in lesion.values:
        voxels = lesion.labels == value
        depth_mm = distance_transform_edt(np.pad(voxels, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
        core = depth_mm > 1.01 * min(spacing_mm)
        labels[core if core.sum() >= CORE_SHARE * voxels.sum() else voxels] = value
    return LesionPart(lesion.name, lesion.box, labels)


def _source_voxels(labels: np.ndarray, value: int, spacing_mm: Spacing) -> tuple[np.ndarray, ...]:
    """For each voxel (x, y, z) the voxel of a pasted lesion that fills it: itself, or its mirror image at the border.

    Args:
        labels: (x, y, z) of the pasted lesion, 0 elsewhere.
        value: the label to be filled; if the lesion lacks it, all of it serves.
        spacing_mm: voxel size.
    """
    source = labels == value if (labels == value).any() else labels > 0
    if not source.any():
        source = np.ones_like(source)  # shrunk to nothing between voxels: whatever lies there
    border = distance_transform_edt(~source, sampling=spacing_mm, return_distances=False, return_indices=True)
    limit = np.array(source.shape)[:, None, None, None] - 1
    mirrored = np.clip(2 * border - np.indices(source.shape), 0, limit)
    x, y, z = np.where(source[tuple(mirrored)], mirrored, border)
    return x, y, z
