"""Depth fields of the training masks, computed once and kept in the run folder, and deformed copies of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.config.schema import MaskSettings
from lldm_aug.geometry import Box
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.records import read_json, refuse_changes
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.masks.diffeomorphism import Lattice, Shape, Spacing, displacement_in, draw_velocity, flow
from lldm_aug.masks.distance import depths, occupied
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.augment import turned
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.prepared_cases import CaseSet

NODE_MM = 24.0
PEAK_MM = 20.0
DEGREES = 6.0
SCALE = 0.08
STRETCH = 0.04
SHIFT_MM = 8.0
MOST_SHIFT = 0.5
"""Largest share of a voxel by which a surface is moved to keep a structure's volume."""


@dataclass(frozen=True)
class Deformation:
    """Where the voxels of a deformed mask look up the mask that it is made from.

    Args:
        displacement: (3, A, B, C) in mm on the nodes of the lattice.
        lattice: lies over the mask's grid.
    """

    displacement: np.ndarray
    lattice: Lattice


def draw_deformation(rng: np.random.Generator, shape: Shape, spacing_mm: Spacing, strength: float) -> Deformation:
    """A random diffeomorphism, then a random rotation, scaling and shift; ``strength`` 1 goes up to the constants."""
    lattice = Lattice.over(shape, spacing_mm, NODE_MM)
    smooth = flow(draw_velocity(rng, lattice, strength * PEAK_MM * rng.uniform()), lattice)
    nodes = np.indices(lattice.shape).reshape(3, -1) * np.asarray(lattice.spacing_mm)[:, None]
    middle = nodes.mean(axis=1, keepdims=True)
    moved = nodes + smooth.reshape(3, -1) - middle
    shift = strength * rng.uniform(-SHIFT_MM, SHIFT_MM, size=(3, 1))
    whole = _matrix(rng, strength) @ moved + middle + shift - nodes
    return Deformation(whole.reshape(3, *lattice.shape), lattice)


def _matrix(rng: np.random.Generator, strength: float) -> np.ndarray:
    """(3, 3) rotation times scaling."""
    matrix = np.diag(np.exp(strength * (rng.uniform(-SCALE, SCALE) + rng.uniform(-STRETCH, STRETCH, size=3))))
    return turned(matrix, strength * rng.uniform(-DEGREES, DEGREES, size=3))


def deform_fields(
    fields: torch.Tensor, deformation: Deformation, spacing_mm: Spacing, reach_mm: float, box: Box
) -> torch.Tensor:
    """Depth fields under a deformation, in a box of their grid.

    Interpolation lifts the bottom of a thin vessel's field above the surface, and would erase it. So each surface is
    moved, by half a voxel at most, until the structure has the volume that its interpolated share has.

    Args:
        fields: (S, X, Y, Z) of the whole grid, in shares of the reach (see `lldm_aug.masks.distance.depths`).
        deformation: of that grid.
        spacing_mm: voxel size.
        reach_mm: of the fields.
        box: what to compute.

    Returns:
        (S, x, y, z) fields in the box, in [-1, 1].
    """
    shape = (fields.shape[1], fields.shape[2], fields.shape[3])
    displacement = displacement_in(deformation.displacement, deformation.lattice, shape, box)
    places = []
    for axis, (index, step, side) in enumerate(zip(np.ogrid[box], spacing_mm, shape, strict=True)):
        places.append(torch.from_numpy((displacement[axis] / step + index) * (2 / max(side - 1, 1)) - 1))
    where = torch.stack(places[::-1], dim=-1).float()[None]
    both = torch.cat([fields, (fields > 0).float()])
    warped = F.grid_sample(both[None], where, mode="bilinear", padding_mode="border", align_corners=True)[0]
    depth, share = warped.chunk(2)
    most = MOST_SHIFT * min(spacing_mm) / reach_mm
    shifts = torch.tensor([_surface(d, s, most) for d, s in zip(depth, share, strict=True)])
    return (depth - shifts.view(-1, 1, 1, 1)).clamp(-1, 1)


def _surface(depth: torch.Tensor, share: torch.Tensor, most: float) -> float:
    """The depth that as many voxels exceed as the structure's share adds up to, but within ``most`` of zero."""
    wanted = round(float(share.sum()))
    if not 0 < wanted < depth.numel():
        return 0.0
    deepest = torch.topk(depth.flatten(), wanted + 1, sorted=False).values
    level = deepest.topk(2, largest=False).values.mean()  # between the last voxel inside and the first outside
    return float(level.clamp(-most, most))


LEVELS = 127
"""Fields are kept in steps of this part of the reach, a byte a voxel: 0.05 mm of 6."""


class MaskFields:
    """The depth fields of all masks of a case set; see `lldm_aug.masks.distance.depths`.

    Args:
        cases: the prepared cases.
        settings: reach and deformation.
        seed: of the run.
        folder: where fields are kept.

    Raises:
        IncompatibleResume: when the folder holds fields of other cases or another reach.
    """

    def __init__(self, cases: CaseSet, settings: MaskSettings, seed: int, folder: Path) -> None:
        self.cases, self.settings, self.seed, self.folder = cases, settings, seed, folder
        self.identity = {"cases": cases.record.request, "reach_mm": settings.reach_mm}
        path = folder / "fields.json"
        if path.exists():
            refuse_changes(folder, read_json(path), self.identity, fix="delete it, or choose another --out")
        write_json(path, self.identity)

    @classmethod
    def prepared(cls, inputs: StageInputs, settings: MaskSettings) -> MaskFields:
        """Those of a run, begun by its first process."""
        with inputs.accelerator.main_process_first():
            return cls(inputs.cases, settings, inputs.config.seed, inputs.folder / "fields")

    def load(self, case_id: str) -> torch.Tensor:
        """(S, X, Y, Z) float32 fields of a case as it is."""
        path = self.folder / f"{case_id}.safetensors"
        if not path.exists():
            record = self.cases.record
            structures = occupied(self.cases.load_label(case_id).numpy(), self.cases.schema)
            fields = depths(structures, record.spacing_mm, self.settings.reach_mm)
            with atomic_file(path) as temporary:
                save_tensors(temporary, {"fields": torch.from_numpy(np.rint(fields * LEVELS).astype(np.int8))})
        return load_tensors(path)["fields"].float() / LEVELS

    def deformed(self, case_id: str, box: Box | None, *purpose: int | str) -> torch.Tensor:
        """Fields of a case under a deformation that case and purpose decide, in a box of the grid or all of it."""
        record = self.cases.record
        whole = (slice(0, record.shape[0]), slice(0, record.shape[1]), slice(0, record.shape[2]))
        rng = numpy_rng(self.seed, "deformed training mask", case_id, *purpose)
        deformation = draw_deformation(rng, record.shape, record.spacing_mm, self.settings.deformation)
        return deform_fields(self.load(case_id), deformation, record.spacing_mm, self.settings.reach_mm, box or whole)
