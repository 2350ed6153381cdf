"""How deep under the liver's surface a point lies."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from lldm_aug.phantom.liver import LiverShape, working_frame

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
