"""Cases on a study's grid: whole volumes at one voxel size, scaled; prepared once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lldm_aug.blending.convert import as_pair
from lldm_aug.config.schema import IntensitySettings
from lldm_aug.config.section import Triple
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import Scale, measure_scale
from lldm_aug.data.raw import Case
from lldm_aug.data.resample import canonical_grid, from_canonical, resample_labels
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import atomic_file
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.volume import Volume

AIR = -1.0
"""What scaled images are continued with."""
INTENSITY = IntensitySettings()
Spacing = tuple[float, float, float]
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class StudyGrid:
    """How cases are brought to networks, and predictions back.

    Args:
        spacing_mm: voxel size.
        scale: of all cases where one serves all (CT); None scales each by its own voxels.
    """

    spacing_mm: Spacing
    scale: Scale | None

    def frame(self, native: Grid) -> Frame:
        """A field of view that covers a case."""
        canonical = canonical_grid(native)
        x, y, z = (
            max(1, int(np.ceil(round(n * s / step, 3))))
            for n, s, step in zip(canonical.shape, canonical.spacing_mm, self.spacing_mm, strict=True)
        )
        return Frame.around(Volume(np.zeros(native.shape, np.int16), native), (x, y, z), self.spacing_mm)

    def conform(self, case: Case) -> Case:
        """A case on the grid: scaled image, and a mask in which each structure keeps its volume."""
        frame = self.frame(case.grid)
        scale = self.scale or measure_scale(case.image, INTENSITY)
        image = scale.apply(frame.image_in(case.image), INTENSITY.limit)
        return Case(case.case_id, image, frame.label_in(case.label), frame.grid)

    def back(self, label: np.ndarray, native: Grid) -> np.ndarray:
        """An integer (X, Y, Z) prediction on a case's own grid."""
        frame = self.frame(native)
        return from_canonical(resample_labels(label, frame.grid, frame.canonical), native)


class PreparedCases:
    """A map-style data set of prepared cases.

    Args:
        folder: one file a case; they are made on demand.
        case_ids: names, in their order.
        make: reads a case and brings it to the grid.
    """

    def __init__(self, folder: Path, case_ids: Sequence[str], make: Callable[[str], Case]) -> None:
        self.folder, self.case_ids, self.make = folder, tuple(case_ids), make

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getitem__(self, index: int) -> Case:
        return self.load(self.case_ids[index])

    def load(self, case_id: str) -> Case:
        """One case; it is prepared if it was not before."""
        path = self.folder / f"{case_id}.safetensors"
        if not path.exists():
            self._write(path, self.make(case_id))
        tensors = load_tensors(path)
        image, label = tensors["image"].float().numpy(), tensors["label"].numpy()
        return Case(case_id, image, label, Grid.regular(label.shape, (1.0, 1.0, 1.0)))

    def prepare(self) -> None:
        """Makes all that are missing."""
        for case_id in self.case_ids:
            path = self.folder / f"{case_id}.safetensors"
            if not path.exists():
                self._write(path, self.make(case_id))

    def _write(self, path: Path, case: Case) -> None:
        # Half precision keeps a scaled intensity to 0.0005, far below its noise.
        tensors = {"image": torch.from_numpy(case.image).half(), "label": torch.from_numpy(case.label)}
        with atomic_file(path) as temporary:
            save_tensors(temporary, tensors)


class RealPairs:
    """Prepared cases as pairs of an image (C, X, Y, Z) and a mask (X, Y, Z)."""

    def __init__(self, cases: PreparedCases) -> None:
        self.cases = cases

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Pair:
        return as_pair(self.cases[index])


def pad_to(image: torch.Tensor, sides: Triple, value: float) -> torch.Tensor:
    """Continues the last three axes with a value, on both ends alike, where they are shorter than ``sides``."""
    missing = [max(0, side - n) for side, n in zip(sides, image.shape[-3:], strict=True)]
    ends = [part for n in reversed(missing) for part in (n // 2, n - n // 2)]
    return torch.nn.functional.pad(image, ends, value=value) if any(missing) else image


def crop_to(image: torch.Tensor, sides: Triple) -> torch.Tensor:
    """The inverse of `pad_to`."""
    starts = [(n - side) // 2 for n, side in zip(image.shape[-3:], sides, strict=True)]
    x, y, z = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return image[..., x, y, z]
