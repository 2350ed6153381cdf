"""Real masks with other tumours: added, moved, grown, shrunk or removed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lldm_aug.errors import LabelError
from lldm_aug.masks.edits import make_edits, plan_edits
from lldm_aug.masks.limits import LESIONS, LIVER
from lldm_aug.masks.real import CACHED_MASKS, RealCases
from lldm_aug.masks.site import Site
from lldm_aug.masks.source import DrawnMask, first_valid
from lldm_aug.masks.tumour_sizes import HCC_SIZES, TumourSizes
from lldm_aug.masks.validity import mask_problems
from lldm_aug.pool.manifest import TumourEdit
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

TRIES_PER_CASE = 4
"""Attempts at one case before the next one's turn."""

Edited = tuple[Volume, tuple[TumourEdit, ...]]


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

    def draw(self, index: int, seed: int) -> DrawnMask:
        """An edited mask of the real case that is due; one in which no edits succeed is passed over for the next.

        Raises:
            LabelError: when no draw was valid.
        """

        def attempt(number: int) -> tuple[tuple[str, Edited], list[str]]:
            case_id = self.cases.at(index + number // TRIES_PER_CASE)
            edited, problems = self._edit(numpy_rng(seed, "edited mask", index, number), case_id)
            return (case_id, edited), problems

        (case_id, (mask, edits)), rejected = first_valid(attempt, self.cases.dataset.folder)
        return DrawnMask(mask, self.cases.origin(self.kind, case_id, rejected).model_copy(update={"edits": edits}))

    def _edit(self, rng: np.random.Generator, case_id: str) -> tuple[Edited, list[str]]:
        """A mask with other tumours, and what is wrong with it."""
        source, site = self.cases.load(case_id), self._site(case_id)
        if site is None:
            return (source, ()), [f"no {LIVER} in {case_id}"]
        labels, edits, problems = make_edits(rng, site, plan_edits(rng, site, self.sizes))
        data = source.data.copy()
        data[site.box] = labels
        return (Volume(data, source.grid), edits), problems or mask_problems(
            data, self.schema, source.data, made=LESIONS & {*self.schema.names}
        )

    def _load_site(self, case_id: str) -> Site | None:
        mask = self.cases.load(case_id)
        return Site(mask, self.schema) if (mask.data == self.schema.value(LIVER)).any() else None
