"""Real lesions that can be put into other cases, and which of them fits a place best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Literal

import numpy as np
from scipy.ndimage import affine_transform

from lldm_aug.anatomy.declaration import Anatomy
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.errors import DatasetError
from lldm_aug.geometry import Box
from lldm_aug.inpainting.real_lesions import LesionPart, lesion_parts
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling

CACHED_CASES = 4
LARGEST_SCALE = 2.0
"""A lesion is stretched or shrunk along an axis by at most this factor."""
LITTLE = 1.25
"""Lesions that have to be scaled by less than this fit equally well."""
CANDIDATES = 4
"""Lesions that are drawn for a place; the one whose shape fits best is taken."""


@dataclass(frozen=True)
class DonorLesion:
    """A lesion of a real case.

    Args:
        case_id: the case.
        part: the lesion, in canonical axes.
        spacing_mm: voxel size in canonical axes.
        mirror: whether it may be mirrored.
    """

    case_id: str
    part: LesionPart
    spacing_mm: tuple[float, float, float]
    mirror: bool = True


@dataclass(frozen=True)
class Placement:
    """Where the voxels of a place come from: donor voxel = matrix @ voxel of the place + offset.

    Args:
        matrix: (3, 3) donor's voxels over voxels of the place.
        offset: (3,) of the place's first voxel, in the donor's image.
    """

    matrix: np.ndarray
    offset: np.ndarray

    @classmethod
    def unmoved(cls, box: Box) -> Placement:
        """Of a place whose voxels are those of a box of the donor."""
        return cls(np.eye(3), np.array([side.start for side in box], dtype=np.float64))

    def take(self, data: np.ndarray, shape: tuple[int, ...], order: Literal[0, 1]) -> np.ndarray:
        """Donor data (X, Y, Z) in the place (x, y, z); beyond the donor's edge its nearest voxels."""
        found: np.ndarray = affine_transform(data, self.matrix, self.offset, shape, order=order, mode="nearest")
        return found

    def shifted(self, voxels: np.ndarray) -> Placement:
        """The placement of a place that begins so many voxels (3,) later."""
        return Placement(self.matrix, self.offset + self.matrix @ voxels)


class Donors:
    """The lesions of a data set's cases.

    Args:
        dataset: the data set.
        case_ids: its cases that may give lesions: labelled training cases.
        schema: what labels of lesions are to stand for.
        anatomy: says which structures are lesions.
        patients: whom each case shows; a case that is not named is a patient of its own.
    """

    def __init__(
        self,
        dataset: RawDataset,
        case_ids: tuple[str, ...],
        schema: LabelSchema,
        anatomy: Anatomy,
        patients: Mapping[str, str] | None = None,
    ) -> None:
        self.dataset = dataset
        self.schema = schema
        self.case_ids = tuple(sorted(case_ids))
        self.anatomy = anatomy
        self.patients = patients or {}
        self.load = lru_cache(maxsize=CACHED_CASES)(self._load)

    @cached_property
    def lesions(self) -> tuple[DonorLesion, ...]:
        """All lesions of all cases."""
        return tuple(lesion for case_id in self.case_ids for lesion in self._lesions_of(case_id))

    def for_host(self, host: str) -> list[DonorLesion]:
        """The lesions of other patients than a host's.

        Raises:
            DatasetError: when there are none.
        """
        found = [lesion for lesion in self.lesions if self._patient(lesion.case_id) != self._patient(host)]
        if not found:
            raise DatasetError(
                f"no lesion ({', '.join(self.anatomy.lesions)}) in the labelled cases of other patients to copy from",
                where=host,
                fix="give more labelled cases, or use --paint diffusion",
            )
        return found

    def _patient(self, case_id: str) -> str:
        return self.patients.get(case_id, case_id)

    def _lesions_of(self, case_id: str) -> Iterator[DonorLesion]:
        mask = self.dataset.load_label(case_id)
        label = self._relabelled(to_canonical(mask.data, mask.grid))
        for part in lesion_parts(label, self.schema, self.anatomy):
            mirror = self.anatomy.lesions[part.name].mirror
            yield DonorLesion(case_id, part, canonical_grid(mask.grid).spacing_mm, mirror)

    def _load(self, case_id: str) -> Case:
        """A case in canonical axes."""
        case = self.dataset.load(case_id)
        image, label = (to_canonical(data, case.grid) for data in (case.image, case.label))
        return Case(case_id, image, self._relabelled(label), canonical_grid(case.grid))

    def _relabelled(self, label: np.ndarray) -> np.ndarray:
        return Relabelling(self.dataset.schema, self.schema).apply(label)


def best_donor(
    rng: np.random.Generator,
    place: LesionPart,
    spacing_mm: tuple[float, float, float],
    lesions: list[DonorLesion],
) -> tuple[DonorLesion, Placement]:
    """A lesion of a place's structure and size, turned and mirrored in the axial plane so that it fills it best.

    Lesions that have all labels of the place come first, then those that need not be scaled too much.

    Args:
        rng: draws some lesions among those that fit.
        place: a lesion of an edited mask.
        spacing_mm: voxel size of that mask.
        lesions: to choose from, at least one.

    Returns:
        The lesion, and where each voxel of the place's box lies in its case's image.
    """

    def misfit(lesion: DonorLesion) -> tuple[bool, int, float]:
        ratios = place.extent_mm(spacing_mm) / lesion.part.extent_mm(lesion.spacing_mm)
        stretch = max(ratios.max(), 1 / ratios.min())
        return lesion.part.name != place.name, len(place.values - lesion.part.values), max(float(stretch), LITTLE)

    order = [int(i) for i in rng.permutation(len(lesions))]  # a stable sort leaves equals as they were drawn
    drawn = sorted((lesions[i] for i in order), key=misfit)[:CANDIDATES]
    options = [(lesion, placed) for lesion in drawn for placed in _placements(lesion, place, spacing_mm)]
    return max(options, key=lambda option: _overlap(option[0], option[1], place))


def _placements(lesion: DonorLesion, place: LesionPart, spacing_mm: tuple[float, float, float]) -> Iterator[Placement]:
    """The ways to turn and mirror a lesion in the axial plane by right angles, scaled to the extent of a place."""
    for swapped, left, front in product((False, True), (1, -1), (1, -1)):
        turn = np.diag([left, front, 1.0])
        if swapped:
            turn = turn[[1, 0, 2]]
        if np.linalg.det(turn) < 0 and not lesion.mirror:
            continue
        extent_mm = np.abs(turn) @ place.extent_mm(spacing_mm)  # of the place, along the donor's axes
        own_mm = lesion.part.extent_mm(lesion.spacing_mm)
        scale = np.clip(extent_mm / own_mm, 1 / LARGEST_SCALE, LARGEST_SCALE)
        matrix = np.diag(1 / (scale * lesion.spacing_mm)) @ turn @ np.diag(spacing_mm)
        yield Placement(matrix, _middle(lesion.part.box) - matrix @ ((np.array(place.labels.shape) - 1) / 2))


def _middle(box: Box) -> np.ndarray:
    return np.array([(side.start + side.stop - 1) / 2 for side in box])


def _overlap(lesion: DonorLesion, placement: Placement, place: LesionPart) -> float:
    """Dice of a placed lesion with its place."""
    start = np.array([side.start for side in lesion.part.box])
    own = Placement(placement.matrix, placement.offset - start + 1)
    found = own.take(np.pad(lesion.part.voxels, 1).astype(np.float32), place.labels.shape, order=1) > 0.5
    total = np.count_nonzero(found) + np.count_nonzero(place.voxels)
    return 2 * np.count_nonzero(found & place.voxels) / total
