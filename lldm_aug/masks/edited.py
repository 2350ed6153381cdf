"""Real masks with other lesions: added, moved, grown, shrunk or removed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

import numpy as np

from lldm_aug.anatomy.declaration import Anatomy, read_anatomy
from lldm_aug.data.partial import PARTIAL_FILE, read_partial_labels
from lldm_aug.errors import LabelError
from lldm_aug.masks.edits import make_edits, plan_edits
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.lesion_library import LesionLibrary, Sizes
from lldm_aug.masks.real import CACHED_MASKS, RealCases
from lldm_aug.masks.site import Site, roles_of
from lldm_aug.masks.source import DrawnMask
from lldm_aug.masks.validity import mask_problems
from lldm_aug.pool.manifest import TumourEdit
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

TRIES_PER_CASE = 4
"""Attempts at one case before the next one's turn."""

Origin = tuple[tuple[TumourEdit, ...], tuple[str, ...]]
"""The edits, and the ids of the cases whose lesions were copied."""


class EditedMasks:
    """Masks of real cases with other lesions in the structures that these lie in; all else stays as it is.

    Args:
        cases: whose masks to edit and whose lesions to copy; those in which not every lesion was annotated are passed
            over, and so are those without a lesion where the data set does not say that they have none.
        anatomy: what the data set's structures are to each other; as `read_anatomy` if left out.

    Raises:
        LabelError: when no structure is a lesion, or no case is left.
    """

    kind = "edited"

    def __init__(self, cases: RealCases, anatomy: Anatomy | None = None) -> None:
        self.anatomy = anatomy or read_anatomy(cases.dataset)
        self.schema = cases.dataset.schema
        self.roles = roles_of(self.anatomy, self.schema)
        self.library = LesionLibrary(annotated_cases(cases, self.anatomy), self.anatomy)
        self._site = lru_cache(maxsize=CACHED_MASKS)(self._load_site)

    @cached_property
    def cases(self) -> RealCases:
        """The cases whose masks are edited."""
        annotated = self.library.cases
        if self.anatomy.lesion_free_hosts:
            return annotated
        hosts = tuple(case_id for case_id, lesions in self.library.specimens.items() if lesions)
        if not hosts:
            raise LabelError(
                f"none of {len(annotated.cases)} masks has {' or '.join(self.anatomy.lesions)}",
                where=annotated.dataset.folder,
                fix="write lesion_free_hosts: true in anatomy.yaml if these patients really have none",
            )
        return annotated if hosts == annotated.cases else RealCases(annotated.dataset, hosts)

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """An edited mask of the next real case; a case that is faulty, or in which no edits succeed, is skipped.

        Raises:
            LabelError: when no draw was valid.
        """

        def attempt(case_id: str, rejected: int, _again: int) -> tuple[tuple[Fitted, Origin], list[str]]:
            mask, made, problems = self._edit(numpy_rng(seed, "edited mask", index, rejected), case_id)
            fitted, problems = fit_valid(mask, problems, fit, self.schema)
            return (fitted, made), problems

        case_id, (mask, (edits, donors)), rejected = self.cases.search(index, attempt, TRIES_PER_CASE, self._faults)
        others = {donor: self.cases.hash(donor) for donor in donors if donor != case_id}
        origin = self.cases.origin(self.kind, case_id, rejected)
        return DrawnMask.of(mask, origin.model_copy(update={"edits": edits, "donors": others}))

    def _faults(self, case_id: str) -> list[str]:
        """Why a case cannot be edited."""
        hosts = {value for role in self.roles for value in role.within}
        if not np.isin(self.cases.load(case_id).data, [*hosts]).any():
            return [f"no {' or '.join(self.schema.names[value - 1] for value in sorted(hosts))}"]
        return self.cases.faults(case_id)

    def _edit(self, rng: np.random.Generator, case_id: str) -> tuple[Volume, Origin, list[str]]:
        return edit_mask(rng, self.cases.load(case_id), self._site(case_id), self.library.sizes, self.library)

    def _load_site(self, case_id: str) -> Site:
        return Site(self.cases.load(case_id), self.schema, self.anatomy)


def edit_mask(
    rng: np.random.Generator,
    source: Volume,
    site: Site,
    sizes: Mapping[int, Sizes],
    library: LesionLibrary | None = None,
) -> tuple[Volume, Origin, list[str]]:
    """A mask with other lesions, how it was made, and what is wrong with it.

    Args:
        rng: decides.
        source: (X, Y, Z) the real mask.
        site: what of it can be edited.
        sizes: see `plan_edits`.
        library: likewise.
    """
    plan = plan_edits(rng, site, sizes, library)
    labels, edits, problems = make_edits(rng, site, plan)
    donors = tuple(sorted({edit.donor for edit in plan if edit.donor is not None}))
    data = source.data.copy()
    data[site.box] = labels
    return Volume(data, source.grid), (edits, donors), problems or _problems(data, source.data, site)


def _problems(data: np.ndarray, source: np.ndarray, site: Site) -> list[str]:
    """What is wrong with an edited mask.

    What a lesion holds is judged as a part of it. A lesion may cut through the wall that it lies in.
    """
    names, roles = site.schema.names, site.roles.values()
    lesions = frozenset(names[role.value - 1] for role in roles)
    walls = {names[value - 1] for role in roles if role.lesion.cut for value in role.within}
    whole, before = _with_held(data, site), _with_held(source, site)
    return mask_problems(whole, site.schema, before, made=lesions | walls, lesions=lesions)


def _with_held(data: np.ndarray, site: Site) -> np.ndarray:
    """(X, Y, Z) the labels, in which voxels of what a lesion holds have the label of the lesion."""
    table = np.arange(data.max() + 1, dtype=data.dtype)
    for role in site.roles.values():
        table[[value for value in role.holds if value < len(table)]] = role.value
    whole: np.ndarray = table[data] if any(role.holds for role in site.roles.values()) else data
    return whole


def annotated_cases(cases: RealCases, anatomy: Anatomy) -> RealCases:
    """The cases in which every lesion was annotated, with what it holds and lies in."""
    needed = {*anatomy.editable}.union(*(lesion.within for lesion in anatomy.lesions.values()))
    partial = read_partial_labels(cases.dataset)
    whole = tuple(case_id for case_id in cases.cases if not needed & {*partial.get(case_id, ())})
    if not whole:
        raise LabelError(
            f"{PARTIAL_FILE} leaves no mask in which {', '.join(sorted(needed))} are annotated",
            where=cases.dataset.folder,
            fix="use masks of kind 'real' or 'deformed'",
        )
    return cases if whole == cases.cases else RealCases(cases.dataset, whole)
