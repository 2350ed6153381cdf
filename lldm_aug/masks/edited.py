"""Real masks with other tumours: added, moved, grown, shrunk or removed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lldm_aug.errors import LabelError
from lldm_aug.masks.edits import make_edits, plan_edits
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.limits import LESIONS, LIVER
from lldm_aug.masks.real import CACHED_MASKS, RealCases
from lldm_aug.masks.site import Site
from lldm_aug.masks.source import DrawnMask
from lldm_aug.masks.tumour_sizes import HCC_SIZES, TumourSizes
from lldm_aug.masks.validity import mask_problems
from lldm_aug.pool.manifest import TumourEdit
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

TRIES_PER_CASE = 4
"""Attempts at one case before the next one's turn."""

Edits = tuple[TumourEdit, ...]
Edited = tuple[Fitted, Edits]


class EditedMasks:
    """Masks of real cases with other tumours in their liver; all else stays as it is.

    Args:
        cases: whose masks to edit.
        sizes: diameters of the tumours that are added.

    Raises:
        LabelError: when the cases have no liver or no lesion among their structures.
    """

    kind = "edited"

    def __init__(self, cases: RealCases, sizes: TumourSizes = HCC_SIZES) -> None:
        schema = cases.dataset.schema
        if LIVER not in schema.names or not LESIONS & {*schema.names}:
            raise LabelError(
                f"tumours are edited in masks of {LIVER!r} and one of {', '.join(sorted(LESIONS))}; "
                f"these have {', '.join(schema.names)}",
                where=cases.dataset.folder,
                fix="use masks of kind 'real' or 'deformed', which work for any structures",
            )
        self.cases = cases
        self.schema = schema
        self.sizes = sizes
        self._site = lru_cache(maxsize=CACHED_MASKS)(self._load_site)

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """An edited mask of the real case that is due; one that is faulty or in which no edits succeed is passed over.

        Raises:
            LabelError: when no draw was valid.
        """

        def attempt(case_id: str, rejected: int, _again: int) -> tuple[Edited, list[str]]:
            mask, edits, problems = self._edit(numpy_rng(seed, "edited mask", index, rejected), case_id)
            fitted, problems = fit_valid(mask, problems, fit, self.schema)
            return (fitted, edits), problems

        case_id, (mask, edits), rejected = self.cases.search(index, attempt, TRIES_PER_CASE, self._faults)
        return DrawnMask.of(mask, self.cases.origin(self.kind, case_id, rejected).model_copy(update={"edits": edits}))

    def _faults(self, case_id: str) -> list[str]:
        """Why a case cannot be edited."""
        no_liver = [] if (self.cases.load(case_id).data == self.schema.value(LIVER)).any() else [f"no {LIVER}"]
        return no_liver or self.cases.faults(case_id)

    def _edit(self, rng: np.random.Generator, case_id: str) -> tuple[Volume, Edits, list[str]]:
        """A mask with other tumours, the edits, and what is wrong with it."""
        source, site = self.cases.load(case_id), self._site(case_id)
        labels, edits, problems = make_edits(rng, site, plan_edits(rng, site, self.sizes))
        data = source.data.copy()
        data[site.box] = labels
        made = LESIONS & {*self.schema.names}
        problems = problems or mask_problems(data, self.schema, source.data, made=made)
        return Volume(data, source.grid), edits, problems

    def _load_site(self, case_id: str) -> Site:
        return Site(self.cases.load(case_id), self.schema)
