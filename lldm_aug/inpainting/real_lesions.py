"""The single lesions of a mask, each with what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label

from lldm_aug.anatomy.declaration import Anatomy
from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm
from lldm_aug.geometry import Box
from lldm_aug.labels import LabelSchema


@dataclass(frozen=True)
class LesionPart:
    """One connected component of a lesion and of what lies inside of it.

    Args:
        name: the lesion's structure.
        box: the smallest box around it.
        labels: (x, y, z) its labels in the box, 0 elsewhere.
    """

    name: str
    box: Box
    labels: np.ndarray

    @property
    def voxels(self) -> np.ndarray:
        """(x, y, z) booleans in the box."""
        return self.labels > 0

    @property
    def values(self) -> frozenset[int]:
        """Its labels."""
        return frozenset(int(value) for value in np.unique(self.labels[self.voxels]))

    def extent_mm(self, spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """(3,) lengths of its box."""
        return np.multiply(self.labels.shape, spacing_mm)

    def diameter_mm(self, spacing_mm: tuple[float, float, float]) -> float:
        """Diameter of the ball of its volume."""
        return ball_diameter_mm(float(np.count_nonzero(self.labels) * np.prod(spacing_mm)))


def lesion_parts(
    mask: np.ndarray, schema: LabelSchema, anatomy: Anatomy, fewest: int = SPECK_VOXELS
) -> Iterator[LesionPart]:
    """The lesions of a mask (X, Y, Z) that have at least so many voxels, one after the other."""
    for name in anatomy.lesions:
        group = np.isin(mask, lesion_values(schema, anatomy, name))
        components, _ = label(group, ANY_NEIGHBOUR)
        for number, (x, y, z) in enumerate(find_objects(components), start=1):
            box = (x, y, z)
            labels = np.where(components[box] == number, mask[box], 0)
            if np.count_nonzero(labels) >= fewest and (labels == schema.value(name)).any():
                yield LesionPart(name, box, labels)


def lesion_values(schema: LabelSchema, anatomy: Anatomy, name: str | None = None) -> list[int]:
    """Labels of a lesion (of all lesions without a name) and of what it holds."""
    chosen = anatomy.lesions if name is None else [name]
    return sorted({schema.value(part) for lesion in chosen for part in (lesion, *anatomy.lesions[lesion].holds)})


def host_values(schema: LabelSchema, anatomy: Anatomy, name: str) -> list[int]:
    """Labels of the structures that a lesion lies in."""
    return [schema.value(part) for part in anatomy.lesions[name].within]
