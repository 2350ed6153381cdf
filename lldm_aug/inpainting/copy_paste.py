"""Inpainting by copy and paste: lesions of other cases, brought to the shape, signal and noise of their new place.

The ideas are those of TumorCP (arXiv 2107.09843) and CarveMix (arXiv 2108.06883).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lldm_aug.anatomy.declaration import Anatomy, read_anatomy
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.resample import canonical_grid, from_canonical, to_canonical
from lldm_aug.data.splits import patients_of
from lldm_aug.inpainting.donors import Donors, Placement, best_donor
from lldm_aug.inpainting.healed import healed
from lldm_aug.inpainting.inpainter import Painted, blended, laid_into
from lldm_aug.inpainting.pasted import paste
from lldm_aug.inpainting.real_lesions import LesionPart, host_values, lesion_parts, lesion_values
from lldm_aug.labels import LabelSchema
from lldm_aug.seeds import numpy_rng


@dataclass(frozen=True)
class CopyPasteInpainter:
    """An `Inpainter` that pastes real lesions of other patients.

    A lesion of the edited mask is painted if its labels are new somewhere, or if all of it lies in the region. It takes
    the voxels of a real lesion of similar size, which is scaled, turned and mirrored to fill it; what sticks out is
    filled with the real lesion's voxels mirrored at its border. A lesion of which the region leaves a part continues
    that part. Where a lesion was removed, the structure that it lay in continues. Whatever else lies in the region
    stays the host's.

    Args:
        donors: the lesions that may be pasted.
    """

    donors: Donors

    @classmethod
    def of(cls, dataset: RawDataset, case_ids: tuple[str, ...], schema: LabelSchema) -> CopyPasteInpainter:
        """Pastes lesions of these cases of a data set.

        Args:
            dataset: the data set.
            case_ids: its labelled training cases.
            schema: the structures of the masks to paint for.

        Raises:
            LabelError, ConfigError: as `read_anatomy`.
            DatasetError: as `patients_of`.
        """
        anatomy = read_anatomy(dataset).within(schema)
        return cls(Donors(dataset, case_ids, schema, anatomy, patients_of(dataset)))

    @property
    def kind(self) -> str:
        """See `Inpainter`."""
        return "copy-paste"

    @property
    def schema(self) -> LabelSchema:
        """The structures of the masks."""
        return self.donors.schema

    @property
    def anatomy(self) -> Anatomy:
        """Says which structures are lesions."""
        return self.donors.anatomy

    def inpaint(self, host: Case, label: np.ndarray, region: np.ndarray, seed: int) -> Painted:
        """See `Inpainter`.

        Raises:
            DatasetError: when no other patient has a lesion.
        """
        axes = canonical_grid(host.grid)
        image, before, after, hidden = (to_canonical(x, host.grid) for x in (host.image, host.label, label, region))
        values = lesion_values(self.schema, self.anatomy)
        lesion = np.isin(before, values) | np.isin(after, values)
        gone = np.isin(before, values) & ~np.isin(after, values) & hidden
        rng = numpy_rng(seed, "copy-paste")
        canvas = healed(image, gone, after, lesion, axes.spacing_mm, rng) if gone.any() else image.copy()
        real = Case(host.case_id, image, before, axes)
        used = self._paste_lesions(Case(host.case_id, canvas, after, axes), real, hidden, rng)
        laid = blended(image, canvas, hidden, axes.spacing_mm)
        # Host and canvas show the same noise where nothing was pasted: blending would take it for two textures.
        laid = np.where(canvas == image, image, laid)
        painted = laid_into(host, from_canonical(laid, host.grid), label, region)
        return Painted(painted, used)

    def _paste_lesions(self, canvas: Case, host: Case, hidden: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
        """Pastes a lesion wherever the mask of a canvas asks for one, into its image; ids of the donors.

        Where a part of a lesion stays, as inside of one that grew, the rest continues it.
        """
        used = []
        for place in lesion_parts(canvas.label, self.schema, self.anatomy, fewest=1):
            if not _is_painted(place, host.label, hidden):
                continue
            within = host_values(self.schema, self.anatomy, place.name)
            kept = self._kept_part(place, host, hidden)
            if kept is not None:
                paste(canvas, place, host, kept, Placement.unmoved(place.box), within, rng)
                continue
            lesions = self.donors.for_host(host.case_id)
            donor, placement = best_donor(rng, place, canvas.grid.spacing_mm, lesions)
            paste(canvas, place, self.donors.load(donor.case_id), donor.part, placement, within, rng)
            used.append(donor.case_id)
        return tuple(dict.fromkeys(used))

    def _kept_part(self, place: LesionPart, host: Case, hidden: np.ndarray) -> LesionPart | None:
        """The host's own lesion of which some voxels outside of the region belong to a place; None without one."""
        kept = np.zeros_like(hidden)
        kept[place.box] = place.voxels & ~hidden[place.box]
        if not kept.any():
            return None
        parts = lesion_parts(host.label, self.schema, self.anatomy, fewest=1)
        return max(parts, key=lambda part: np.count_nonzero(kept[part.box] & part.voxels), default=None)


def _is_painted(part: LesionPart, before: np.ndarray, hidden: np.ndarray) -> bool:
    """Whether a lesion of an edited mask takes new voxels."""
    inside = hidden[part.box]
    changed = (before[part.box] != part.labels) & part.voxels & inside
    return bool(changed.any() or inside[part.voxels].all())
