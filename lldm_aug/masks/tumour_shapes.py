"""Shapes of tumours as functions of the position from their centre: irregular ellipsoids, and copies of real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial.transform import Rotation

from lldm_aug.anatomy.implicit import Vector, Waves, ellipsoid
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm, ball_volume_mm3

ELONGATION = 0.15
"""Standard deviation of the logarithm of an ellipsoid's half axes."""
UNEVENNESS = 0.09
"""Standard deviation of the border, as a share of the radius."""
WAVELENGTHS = (1.2, 1.6, 2.2, 3.0, 4.0)
"""Wavelengths of the unevenness of the border, in radii."""
AROUND_VOXELS = 2
"""Margin around a real tumour in which its distance map is kept."""


class Shape(Protocol):
    """The shape of a tumour, before it is put in any place."""

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of its volume."""
        ...

    @property
    def reach_mm(self) -> float:
        """No part of it is further from its centre."""
        ...

    @property
    def depth(self) -> float | None:
        """How deep its centre lies in a wall (see `Wall.depth`), if that matters."""
        ...

    def __call__(self, offsets_mm: np.ndarray) -> np.ndarray:
        """(x, y, z) about the distance in mm from its surface, negative inside, at (3, x, y, z) mm from its centre."""
        ...

    def facing(self, frame: np.ndarray) -> Shape:
        """The shape where the wall that it lies in faces another way; ``frame`` as of `Wall.frame`."""
        ...

    def parts(self, offsets_mm: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
        """What it holds: label, share of its volume, and (x, y, z) distance from its surface, as of the shape."""
        ...


@dataclass(frozen=True)
class Blob:
    """An ellipsoid in any direction with an uneven border.

    Args:
        diameter_mm: of the ball of its volume.
        axes: (3, 3) rotation to the ellipsoid's own axes.
        radii_mm: along them.
        waves: of the border.
        depth: of its centre in a wall.
    """

    diameter_mm: float
    axes: np.ndarray
    radii_mm: Vector
    waves: Waves
    depth: float | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, diameter_mm: float) -> Blob:
        """A random shape of this size."""
        stretch = rng.normal(0, ELONGATION, 3)
        a, b, c = (diameter_mm / 2 * np.exp(stretch - stretch.mean())).tolist()
        axes = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        radius = diameter_mm / 2
        waves = Waves.draw(rng, UNEVENNESS * radius, tuple(radius * w for w in WAVELENGTHS))
        return cls(diameter_mm, axes, (a, b, c), waves)

    @property
    def reach_mm(self) -> float:
        """No part of it is further from its centre."""
        return max(self.radii_mm) + 2.5 * self.waves.amplitude

    def __call__(self, offsets_mm: np.ndarray) -> np.ndarray:
        """As `Shape.__call__`."""
        x, y, z = np.tensordot(self.axes.astype(np.float32), offsets_mm.astype(np.float32), axes=1)
        surface: np.ndarray = ellipsoid(x, y, z, (0.0, 0.0, 0.0), self.radii_mm) + self.waves(x, y, z)
        return surface

    def facing(self, frame: np.ndarray) -> Blob:
        """Itself: it has no side."""
        return self

    def parts(self, offsets_mm: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
        """It holds nothing."""
        return []


@dataclass(frozen=True)
class Held:
    """What a real tumour holds, such as necrosis.

    Args:
        value: its label.
        share: of the tumour's volume.
        distance_mm: (A, B, C) distance from its surface, negative inside, as of the tumour.
    """

    value: int
    share: float
    distance_mm: np.ndarray


@dataclass(frozen=True)
class Copy:
    """A real tumour with what it holds, scaled about its deepest point, turned, and mirrored along axes of its grid.

    Args:
        distance_mm: (A, B, C) distance from its surface, negative inside.
        centre: indices of its deepest voxel in there.
        axes_mm: (3, 3) steps of the grid in mm, one a column.
        volume_mm3: of the real tumour.
        scale: size relative to it.
        mirror: (3,) 1 or -1 a grid axis.
        held: what it holds.
        frame: (3, 3) how the wall runs where it was (see `Wall.frame`), for a tumour that is cut to one.
        depth: how deep its centre lay in that wall.
        turn: (3, 3) from directions where it is put to directions where it was.
    """

    distance_mm: np.ndarray
    centre: np.ndarray
    axes_mm: np.ndarray
    volume_mm3: float
    scale: float
    mirror: np.ndarray
    held: tuple[Held, ...] = ()
    frame: np.ndarray | None = None
    depth: float | None = None
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))

    @classmethod
    def of(
        cls,
        tumour: np.ndarray,
        axes_mm: np.ndarray,
        held: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> Copy:
        """A copy of a real tumour as it is.

        Args:
            tumour: (A, B, C) booleans, with what it holds.
            axes_mm: steps of the grid.
            held: (A, B, C) booleans of what it holds, by label.
        """
        spacing = np.linalg.norm(axes_mm, axis=0)
        distance = _signed_mm(tumour, spacing)
        centre = np.array(np.unravel_index(np.argmin(distance), distance.shape))
        voxels = np.count_nonzero(tumour)
        parts = tuple(
            Held(value, np.count_nonzero(part) / voxels, _signed_mm(part, spacing).astype(np.float32))
            for value, part in held.items()
        )
        volume = float(voxels * abs(np.linalg.det(axes_mm)))
        return cls(distance.astype(np.float32), centre, axes_mm, volume, 1.0, np.ones(3), parts)

    @property
    def centre_in_tumour(self) -> np.ndarray:
        """(3,) indices of the deepest voxel in the structure that this is a copy of."""
        return self.centre - AROUND_VOXELS

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of its volume."""
        return self.scale * ball_diameter_mm(self.volume_mm3)

    @property
    def reach_mm(self) -> float:
        """No part of it is further from its centre."""
        ends = np.array([self.centre, np.array(self.distance_mm.shape) - 1 - self.centre]).max(axis=0) - AROUND_VOXELS
        return self.scale * float(np.linalg.norm(np.abs(self.axes_mm) @ np.maximum(ends, 1)))

    def __call__(self, offsets_mm: np.ndarray) -> np.ndarray:
        """As `Shape.__call__`."""
        return self._distance_mm(self.distance_mm, offsets_mm)

    def facing(self, frame: np.ndarray) -> Copy:
        """Turned as the wall turns; mirrored, if it is, along the wall."""
        if self.frame is None:
            return self
        along = np.diag([1.0, np.prod(self.mirror), 1.0])
        return replace(self, turn=self.frame @ along @ frame.T, mirror=np.ones(3))

    def parts(self, offsets_mm: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
        """As `Shape.parts`."""
        return [(held.value, held.share, self._distance_mm(held.distance_mm, offsets_mm)) for held in self.held]

    def _distance_mm(self, distance_mm: np.ndarray, offsets_mm: np.ndarray) -> np.ndarray:
        steps = np.tensordot(np.linalg.inv(self.axes_mm) @ self.turn, offsets_mm / self.scale, axes=1)
        places = steps * self.mirror.reshape(3, 1, 1, 1) + self.centre.reshape(3, 1, 1, 1)
        top = (np.array(distance_mm.shape) - 1).reshape(3, 1, 1, 1)
        beyond = np.tensordot(self.axes_mm, places - np.clip(places, 0, top), axes=1)
        inside = map_coordinates(distance_mm, places, order=1, mode="nearest")
        surface: np.ndarray = self.scale * (inside + np.linalg.norm(beyond, axis=0))
        return surface


def _signed_mm(structure: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Distance from the surface of a boolean structure (A, B, C), negative inside, with `AROUND_VOXELS` around it."""
    padded = np.pad(structure, AROUND_VOXELS)
    inner = distance_transform_edt(padded, sampling=spacing_mm)
    distance: np.ndarray = distance_transform_edt(~padded, sampling=spacing_mm) - inner
    return distance


def volume_mm3(shape: Shape) -> float:
    """A shape's volume."""
    return ball_volume_mm3(shape.diameter_mm)
