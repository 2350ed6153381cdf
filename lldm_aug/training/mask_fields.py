"""Depth fields of the training masks, computed once and kept in the run folder, and deformed copies of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lldm_aug.config.schema import MaskSettings
from lldm_aug.geometry import Box
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.records import read_json, refuse_changes
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.masks.distance import depths, occupied
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.mask_deformation import deform_fields, draw_deformation

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
