"""The liver's shape: lobes, dome, visceral surface, groove of the vena cava and impressions of its neighbours.

A table says how deep under its surface a point lies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from lldm_aug.anatomy.implicit import Vector, Waves, ellipsoid, smooth_intersection, smooth_union
from lldm_aug.geometry import Grid
from lldm_aug.phantom.around_liver import PaintedSurroundings
from lldm_aug.phantom.body import Body
from lldm_aug.phantom.cirrhosis import Cirrhosis
from lldm_aug.phantom.frame import BodyFrame

VOLUME_RANGE_ML = (1000.0, 3400.0)


@dataclass(frozen=True)
class LiverShape:
    """An implicit liver around the confluence of the hepatic veins.

    Args:
        body, surroundings: what it fits into.
        cirrhosis: what it does to the lobes and the surface.
        scale: size relative to the usual one, about the confluence.
        left_lobe: size of the left lobe relative to the usual one.
        slope: how steeply the visceral surface falls to the right.
        waves: individual unevenness of the surface in mm.
    """

    body: Body
    surroundings: PaintedSurroundings
    cirrhosis: Cirrhosis
    scale: float
    left_lobe: float
    slope: float
    waves: Waves

    @property
    def confluence_mm(self) -> np.ndarray:
        """(3,) where the hepatic veins meet, just in front of the vena cava."""
        x, y = self.body.cava_mm
        return np.array([x + 1, y + 20, 48.0])

    def place(self, x: float, y: float, z: float) -> np.ndarray:
        """(3,) the position in this liver of a landmark in mm from the confluence of a liver of usual size."""
        return self.confluence_mm + self.scale * np.array([x, y, z])

    def raw(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The lobes alone: negative inside."""
        s, left, right = self.scale, self.scale * self.left_lobe, self.scale * self.cirrhosis.right_lobe
        right_lobe = ellipsoid(x, y, z, _vector(self.place(47, 13, -38)), (66 * right, 82 * s, 84 * right))
        left_lobe = ellipsoid(x, y, z, _vector(self.place(-34, 48, -16)), (84 * left, 46 * left, 46 * left))
        hub = ellipsoid(x, y, z, _vector(self.confluence_mm), (22.0, 19.0, 24.0))
        lobes = smooth_union(smooth_union(right_lobe, left_lobe, 25 * s), hub, 12)
        return smooth_union(lobes, self._caudate(x, y, z), 8)

    def _caudate(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The caudate lobe, between the vena cava and the left lobe."""
        size = self.scale * self.cirrhosis.caudate
        return ellipsoid(x, y, z, _vector(self.place(-8, 2, -32)), (15 * size, 13 * size, 24 * size))

    def _fissure(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The notch of the round ligament, in the lower front edge of the left lobe."""
        s = self.scale
        return ellipsoid(x, y, z, _vector(self.place(-22, 84, -56)), (5 * s, 26 * s, 24 * s))

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the liver, about equal to the distance in mm near its surface."""
        s, body, organs = self.scale, self.body, self.surroundings
        x0, y0, z0 = _vector(self.place(0, 0, -76))
        visceral = (z0 - self.slope * (x - x0) - z + 0.15 * (y - y0)) / float(np.hypot(1, self.slope))
        waves = self.waves(x, y, z)
        shape = smooth_intersection(self.raw(x, y, z) + waves, visceral + 1.4 * waves, 14 * s)
        if self.cirrhosis.surface is not None:
            shape = shape + self.cirrhosis.surface(x, y, z)
        shape = smooth_intersection(shape, body.cavity(x, y) + 3, 8)
        for organ in (organs.right_kidney.outline, organs.stomach, organs.gallbladder.outline):
            shape = smooth_intersection(shape, 2 - organ(x, y, z), 8)
        shape = smooth_intersection(shape, -self._fissure(x, y, z), 4)
        midline = np.maximum(7 - body.vertebra(x, y), 5 - body.aorta(x, y))
        liver: np.ndarray = np.maximum(np.maximum(shape, midline), 1.5 - body.cava(x, y))
        return liver

    def with_volume(self, volume_ml: float) -> LiverShape:
        """This liver at the scale at which it has this volume (bisection; the body's wall may keep it smaller)."""
        low, high = 0.7, 1.45
        for _ in range(9):
            middle = (low + high) / 2
            if replace(self, scale=middle).volume_ml() < volume_ml:
                low = middle
            else:
                high = middle
        return replace(self, scale=(low + high) / 2)

    def volume_ml(self) -> float:
        """Volume, sampled every 6 mm."""
        frame = working_frame(6.0)
        return float(np.count_nonzero(self(*frame.positions()) < 0) * frame.grid.voxel_volume_mm3 / 1000)


def draw_liver(
    rng: np.random.Generator, body: Body, surroundings: PaintedSurroundings, cirrhosis: Cirrhosis, volume_ml: float
) -> LiverShape:
    """A liver of this volume with its own proportions."""
    liver = LiverShape(
        body=body,
        surroundings=surroundings,
        cirrhosis=cirrhosis,
        scale=1.0,
        left_lobe=float(np.clip(rng.normal(cirrhosis.left_lobe, 0.1), 0.75, 1.35)),
        slope=float(rng.uniform(0.38, 0.65)),
        waves=Waves.draw(rng, 2.5, (60, 75, 90, 110, 140)),
    )
    return liver.with_volume(volume_ml)


def draw_volume_ml(rng: np.random.Generator) -> float:
    """A liver volume: log-normal with median 1.6 l, within the measured 1.0-3.4 l."""
    return float(np.clip(1600 * np.exp(rng.normal(0, 0.24)), *VOLUME_RANGE_ML))


def working_frame(spacing_mm: float) -> BodyFrame:
    """A grid of this spacing that holds any liver."""
    x, y, z = (int(np.ceil(extent / spacing_mm)) for extent in (320, 260, 260))
    return BodyFrame.centred(Grid.regular((x, y, z), (spacing_mm, spacing_mm, spacing_mm)))


def _vector(point: np.ndarray) -> Vector:
    return float(point[0]), float(point[1]), float(point[2])


WORKING_SPACING_MM = 4.0


class LiverDepth:
    """Distance to the liver's surface from points inside it, looked up in a table of 4 mm steps."""

    def __init__(self, liver: LiverShape) -> None:
        self.frame = working_frame(WORKING_SPACING_MM)
        inside = np.broadcast_to(liver(*self.frame.positions()) < 0, self.frame.grid.shape)
        spacing = self.frame.grid.spacing_mm
        outside = distance_transform_edt(~inside, sampling=spacing)
        self.table = (distance_transform_edt(inside, sampling=spacing) - outside).astype(np.float32)
        self.inside_mm = self.frame.grid.to_mm(np.argwhere(inside)) - self.frame.origin_mm
        self.inside_depth_mm = self.table[inside]
        self.volume_mm3 = len(self.inside_mm) * self.frame.grid.voxel_volume_mm3

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        """(N,) depth in mm of points (N, 3); negative outside."""
        voxels = self.frame.grid.to_voxels(points_mm + self.frame.origin_mm)
        depth: np.ndarray = map_coordinates(self.table, voxels.T, order=1, mode="nearest")
        return depth

    @property
    def box_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Opposite corners of a box that holds the liver."""
        margin = 2 * WORKING_SPACING_MM
        return self.inside_mm.min(axis=0) - margin, self.inside_mm.max(axis=0) + margin
