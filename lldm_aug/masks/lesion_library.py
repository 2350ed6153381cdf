"""The lesions of the training masks: how large and how many they are, and which can be copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from lldm_aug.anatomy.declaration import ANATOMY_FILE, Anatomy, Numbers
from lldm_aug.errors import LabelError
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.site import Site, roles_of
from lldm_aug.masks.tumour_shapes import Copy
from lldm_aug.masks.wall import plane_axes

JITTER = 0.1
"""Standard deviation of the logarithm of a drawn diameter around the measured one."""
ALIKE = 5
"""A copy is made from one of this many real lesions, those nearest to it in size."""


class Sizes(Protocol):
    """Diameters of added lesions."""

    @property
    def range_mm(self) -> tuple[float, float]:
        """Smallest and largest diameter."""
        ...

    def draw(self, rng: np.random.Generator, least_mm: float = 0.0) -> float:
        """A diameter of at least ``least_mm``, such as what a grid can show."""
        ...


@dataclass(frozen=True)
class MeasuredSizes:
    """Diameters of real lesions, each equally likely, with a little spread.

    Args:
        diameters_mm: (N,) at least one.
    """

    diameters_mm: np.ndarray

    @property
    def range_mm(self) -> tuple[float, float]:
        """The smallest and the largest of them."""
        return float(self.diameters_mm.min()), float(self.diameters_mm.max())

    def draw(self, rng: np.random.Generator, least_mm: float = 0.0) -> float:
        """As `Sizes.draw`."""
        return self.near(rng, float(rng.choice(self.diameters_mm)), least_mm)

    def near(self, rng: np.random.Generator, diameter_mm: float, least_mm: float = 0.0) -> float:
        """A diameter near that of one real lesion."""
        low, high = self.range_mm
        diameter = diameter_mm * float(np.exp(rng.normal(0, JITTER)))
        return max(least_mm, min(max(diameter, low), high))


@dataclass(frozen=True, eq=False)
class Specimen:
    """A real lesion that can be copied.

    Args:
        case_id: whose it is.
        value: its label.
        diameter_mm: of the ball of its volume.
        copy: of it.
        plane: (3, 3) of the grid that it lay in (see `plane_axes`).
    """

    case_id: str
    value: int
    diameter_mm: float
    copy: Copy
    plane: np.ndarray


class LesionLibrary:
    """The lesions of real masks, read when they are first asked for.

    Args:
        cases: whose masks these are.
        anatomy: which structures are lesions.
    """

    def __init__(self, cases: RealCases, anatomy: Anatomy) -> None:
        self.cases = cases
        self.anatomy = anatomy
        self.schema = cases.dataset.schema
        self.roles = {role.value: role for role in roles_of(anatomy, self.schema)}

    @cached_property
    def specimens(self) -> Mapping[str, tuple[Specimen, ...]]:
        """The lesions of each case."""
        return {case_id: self._of(case_id) for case_id in self.cases.cases}

    def _of(self, case_id: str) -> tuple[Specimen, ...]:
        mask = self.cases.load(case_id)
        if not np.isin(mask.data, [*self.roles]).any():
            return ()
        site = Site(mask, self.schema, self.anatomy)
        plane = plane_axes(site.grid)
        return tuple(Specimen(case_id, t.value, site.diameter_mm(t), site.copy(t), plane) for t in site.tumours)

    def named(self, value: int) -> list[Specimen]:
        """All lesions with a label."""
        return [lesion for lesions in self.specimens.values() for lesion in lesions if lesion.value == value]

    @cached_property
    def sizes(self) -> Mapping[int, Sizes]:
        """Diameters of each lesion: those that the anatomy gives, else those that are measured.

        Raises:
            LabelError: when a size is to be measured, or a lesion to be copied, and no mask has one.
        """
        return {value: self._sizes(value) for value in self.roles}

    def _sizes(self, value: int) -> Sizes:
        lesion = self.roles[value].lesion
        measured = [] if lesion.sizes and "copies" not in lesion.shapes else self.named(value)
        if not measured and (lesion.sizes is None or lesion.shapes == ("copies",)):
            name = self.schema.names[value - 1]
            raise LabelError(
                f"none of {len(self.cases.cases)} training masks shows {name}, so there is nothing to measure or copy",
                where=self.cases.dataset.folder,
                fix=f"give 'sizes' of {name} and 'shapes: [blobs]' in {ANATOMY_FILE}, or label some",
            )
        return lesion.sizes or MeasuredSizes(np.array([lesion.diameter_mm for lesion in measured]))

    def pattern(self, rng: np.random.Generator) -> list[Specimen]:
        """The lesions of a random case; of one that has some, unless cases without one are hosts."""
        cases = [lesions for lesions in self.specimens.values() if lesions or self.anatomy.lesion_free_hosts]
        return [*cases[int(rng.integers(len(cases)))]]

    def size_like(self, rng: np.random.Generator, lesion: Specimen, least_mm: float) -> float:
        """A diameter for a lesion that is added in the place of a real one: near its own where sizes are measured."""
        sizes = self.sizes[lesion.value]
        if isinstance(sizes, MeasuredSizes):
            return sizes.near(rng, lesion.diameter_mm, least_mm)
        return sizes.draw(rng, least_mm)

    @cached_property
    def numbers(self) -> Numbers | None:
        """How many lesions are added; None where it is as many as real masks have."""
        nothing_to_measure = self.anatomy.numbers is None and not any(self.specimens.values())
        return Numbers() if nothing_to_measure else self.anatomy.numbers

    def alike(self, rng: np.random.Generator, value: int, diameter_mm: float) -> Specimen:
        """A random one of the real lesions that are nearest in size."""
        lesions = nearest_in_size(self.named(value), diameter_mm)
        return lesions[int(rng.integers(min(ALIKE, len(lesions))))]


def nearest_in_size(lesions: Iterable[Specimen], diameter_mm: float) -> list[Specimen]:
    """Real lesions, those first whose diameter is nearest to this one."""
    return sorted(lesions, key=lambda lesion: abs(np.log(lesion.diameter_mm / diameter_mm)))
