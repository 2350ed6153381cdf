"""Lesion-centred patches: of real cases around real lesions, of a pool's pairs around painted ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from lldm_aug.anatomy.declaration import Anatomy
from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.intensity import Scale, measure_scale
from lldm_aug.data.raw import Case
from lldm_aug.data.resample import canonical_grid, resample, to_canonical
from lldm_aug.geometry import Grid
from lldm_aug.inpainting.real_lesions import LesionPart, lesion_parts
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.planes import PLANES

CONTEXT_MM = 10.0
"""How much a patch shows around a lesion on each side, but for the largest lesions."""
LARGE = 0.9
"""Lesions up to this quantile of extents fit into a patch with their context; larger ones are cut."""
LEAST_SIDE, MOST_SIDE = 4, 32
"""Voxels of a patch along an axis."""
SHIFT = 2
"""Voxels by which a patch is wider on each side, so that training can shift it."""
LEAST_SHOWN = 8
"""Voxels along either side of a slice that is looked at."""
SAME_SPACING = 0.1
"""Cases whose spacing differs by less than this share from the usual one keep their voxels: no interpolation."""
PAINTED_SHARE = 0.5
"""A lesion counts as painted if at least this share of its voxels is not the host's."""
BLUR_VOXELS = 1.0
"""Standard deviation of the Gaussian that blurs a lesion for the control, in voxels of the finest spacing."""

Side = tuple[int, int, int]


@dataclass(frozen=True)
class Patch:
    """What surrounds one lesion.

    Args:
        image: (C, x, y, z) float32, scaled to about [-1, 1] as its whole case is.
        lesion: (x, y, z) booleans.
        patient: whom the case, or its host, shows.
        diameter_mm: of the ball of the lesion's volume.
    """

    image: np.ndarray
    lesion: np.ndarray
    patient: str
    diameter_mm: float

    def blurred(self, spacing_mm: tuple[float, float, float]) -> Patch:
        """The same with a blurred lesion: what a painter without fine detail would show."""
        sigma = [BLUR_VOXELS * min(spacing_mm) / s for s in spacing_mm]
        smooth = np.stack([gaussian_filter(channel, sigma) for channel in self.image])
        image = np.where(binary_dilation(self.lesion), smooth, self.image)
        return Patch(image, self.lesion, self.patient, self.diameter_mm)


@dataclass(frozen=True)
class PatchFormat:
    """The size, spacing and scaling in which patches are cut.

    Args:
        side: voxels along (X, Y, Z), without what is there to be shifted.
        spacing_mm: usual voxel size of the real cases in canonical axes.
        scale: one scale for all cases; None scales each by its own voxels.
    """

    side: Side
    spacing_mm: tuple[float, float, float]
    scale: Scale | None

    @classmethod
    def fitting(
        cls, extents_mm: Iterable[np.ndarray], spacing_mm: tuple[float, float, float], scale: Scale | None
    ) -> PatchFormat:
        """A format for lesions of these extents (3,)."""
        length = np.quantile(np.stack([*extents_mm]), LARGE, axis=0) + 2 * CONTEXT_MM
        x, y, z = np.clip(np.round(length / spacing_mm), LEAST_SIDE, MOST_SIDE).astype(int).tolist()
        return cls((x, y, z), spacing_mm, scale)

    def cut(self, case: Case, parts: Iterable[LesionPart], patient: str) -> Iterator[Patch]:
        """Patches around lesions of a case in canonical axes (see `canonical`)."""
        scaling = IntensitySettings()
        scaled = (self.scale or measure_scale(case.image, scaling)).apply(case.image, scaling.limit)
        for part in parts:
            grid = self._grid_around(part, case.grid)
            lesion = np.zeros(case.label.shape, dtype=np.float32)
            lesion[part.box] = part.voxels
            image, voxels = (resample(data, case.grid, grid) for data in (scaled, lesion))
            yield Patch(image, voxels > 0.5, patient, part.diameter_mm(case.grid.spacing_mm))

    def _grid_around(self, part: LesionPart, grid: Grid) -> Grid:
        step = np.divide(self.spacing_mm, grid.spacing_mm)
        step = np.where(np.abs(step - 1) < SAME_SPACING, 1.0, step)
        shape = np.array(self.side) + 2 * SHIFT
        middle = np.argwhere(part.voxels).mean(axis=0) + [side.start for side in part.box]
        start = np.round(middle - (shape - 1) / 2 * step)  # on a voxel, so that nothing is interpolated at step 1
        affine = grid.affine.copy()
        affine[:3, :3] *= step
        affine[:3, 3] = grid.to_mm(start)
        x, y, z = shape.tolist()
        return Grid((x, y, z), affine)


def canonical(case: Case) -> Case:
    """A case with its axes in canonical order."""
    image, label = (to_canonical(data, case.grid) for data in (case.image, case.label))
    return Case(case.case_id, image, label, canonical_grid(case.grid))


def painted_lesions(pair: Case, host: Case, schema: LabelSchema, anatomy: Anatomy) -> Iterator[LesionPart]:
    """The lesions of a pair whose voxels are, at least by half, not its host's; both in canonical axes."""
    unlike = (pair.image != host.image).any(axis=0)
    for part in lesion_parts(pair.label, schema, anatomy):
        if unlike[part.box][part.voxels].mean() >= PAINTED_SHARE:
            yield part


def patch_slices(patches: Sequence[Patch]) -> dict[str, np.ndarray]:
    """The middle slices (N, height, width) of patches in [0, 1], by plane (and channel, if several).

    Planes in which a patch is only a few voxels high are left out.
    """
    found = {}
    for number in range(len(patches[0].image)):
        grey = [np.clip((patch.image[number][(slice(SHIFT, -SHIFT),) * 3] + 1) / 2, 0, 1) for patch in patches]
        for plane in PLANES:
            shape = grey[0].shape
            if min(shape[plane.across], shape[plane.down]) >= LEAST_SHOWN:
                name = plane.name if len(patches[0].image) == 1 else f"{plane.name}, channel {number}"
                middle = shape[plane.normal] // 2
                found[name] = np.stack([plane.slice(volume, middle) for volume in grey]).astype(np.float32)
    return found
