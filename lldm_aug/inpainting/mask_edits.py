"""Edits of masks in memory, with what the training masks say about lesions where these are at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from lldm_aug.anatomy.declaration import Anatomy
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import LabelError
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.edited import annotated_cases, edit_mask
from lldm_aug.masks.lesion_library import LesionLibrary, Sizes
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.site import Site, roles_of
from lldm_aug.volume import Volume


class MaskEdits:
    """Edits the lesions of any mask.

    Args:
        schema: what the integers of masks stand for.
        anatomy: which structures are lesions.
        dataset: the data set, if there is one on disk.
        training: ids of its cases whose lesions may be measured and copied; None if there are none.

    Raises:
        LabelError: when the anatomy gives no sizes of a lesion and no training mask shows one.
    """

    def __init__(
        self,
        schema: LabelSchema,
        anatomy: Anatomy,
        dataset: RawDataset | None = None,
        training: Collection[str] | None = None,
    ) -> None:
        self.schema, self.anatomy = schema, anatomy
        self._dataset, self._training = dataset, tuple(training or ())
        self._roles = roles_of(anatomy, schema)
        self._sizes = self._known_sizes()

    @cached_property
    def library(self) -> LesionLibrary | None:
        """The lesions of the training masks."""
        if self._dataset is None or not self._training:
            return None
        cases = annotated_cases(RealCases(self._dataset, self._training), self.anatomy)
        return LesionLibrary(cases, self.anatomy)

    def _known_sizes(self) -> Mapping[int, Sizes]:
        if self.library is not None:
            return self.library.sizes
        unknown = [name for name, lesion in self.anatomy.lesions.items() if lesion.sizes is None]
        if unknown:
            fix = "give sizes in its anatomy, or the data set and training=, whose masks are then measured"
            raise LabelError(f"nobody says how large {', '.join(unknown)} is", fix=fix)
        return {role.value: sizes for role in self._roles if (sizes := role.lesion.sizes) is not None}

    def __getstate__(self) -> dict[str, Any]:
        """Without the library, whose caches cannot be pickled; a spawned worker reads it again."""
        return {name: value for name, value in self.__dict__.items() if name != "library"}

    def suits(self, case: Case) -> bool:
        """Whether lesions of a case may be edited: it has what they lie in, and all that it has are annotated."""
        if self.library is not None and case.case_id in {*self._training} - {*self.library.cases.cases}:
            return False
        within = {value for role in self._roles for value in role.within}
        if not np.isin(case.label, [*within]).any():
            return False
        return self.anatomy.lesion_free_hosts or bool(np.isin(case.label, [role.value for role in self._roles]).any())

    def site(self, case: Case) -> Site:
        """What of a case's mask can be edited."""
        return Site(Volume(case.label, case.grid), self.schema, self.anatomy)

    def edit(self, rng: np.random.Generator, case: Case, site: Site) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
        """A mask (X, Y, Z) with other lesions, ids of the cases whose lesions it copies, and what is wrong with it."""
        mask, (_, donors), problems = edit_mask(rng, Volume(case.label, case.grid), site, self._sizes, self.library)
        return mask.data, donors, problems
