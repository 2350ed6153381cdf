"""Masks of real cases, each used equally often."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from lldm_aug.data.raw import RawDataset
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.source import MAX_DRAWS, DrawnMask, no_valid_mask
from lldm_aug.masks.validity import mask_problems
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.seeds import numpy_rng

CACHED_MASKS = 8

T = TypeVar("T")


class RealCases:
    """The cases whose masks may be used, in an endless order in which each comes once before any comes again.

    The order is shuffled anew each round, by the case ids alone: every case of a pool has a seed of its own, and only
    an order that they share uses all cases equally.
    """

    def __init__(self, dataset: RawDataset, cases: tuple[str, ...]) -> None:
        self.dataset = dataset
        self.cases = tuple(sorted(cases))
        self.load = lru_cache(maxsize=CACHED_MASKS)(dataset.load_label)
        self.faults = lru_cache(maxsize=None)(self._faults)
        self.hash = lru_cache(maxsize=None)(dataset.label_hash)

    def at(self, index: int) -> str:
        """Id of the case at a place in the order."""
        turn, place = divmod(index, len(self.cases))
        order = numpy_rng(*self.cases, "order of masks", turn).permutation(len(self.cases))
        return self.cases[int(order[place])]

    def search(
        self,
        index: int,
        attempt: Callable[[str, int, int], tuple[T, list[str]]],
        tries: int = 1,
        faults: Callable[[str], list[str]] | None = None,
    ) -> tuple[str, T, int]:
        """Goes through the cases from a place in the order on until one gives a valid mask.

        A case of which no mask can be made is passed over at once, and takes none of the `MAX_DRAWS` draws.

        Args:
            index: the place in the order.
            attempt: makes a mask and says what is wrong with it, given the id of a case, how many masks were rejected
                so far, and how many of them were made from this case.
            tries: attempts at one case before the next one's turn.
            faults: why no mask can be made of a case; None for what is anatomically wrong with its own.

        Returns:
            The id of the case, what the attempt gave, and how many masks, drawn or faulty from the start, were rejected
            before.

        Raises:
            LabelError: after `MAX_DRAWS` rejected draws, or as many faulty cases.
        """
        drawn = faulty = 0
        problems: list[str] = []
        while max(drawn, faulty) < MAX_DRAWS:
            case_id = self.at(index + faulty + drawn // tries)
            problems = (faults or self.faults)(case_id)
            if problems:
                faulty += 1
                continue
            mask, problems = attempt(case_id, faulty + drawn, drawn % tries)
            if not problems:
                return case_id, mask, faulty + drawn
            drawn += 1
        raise no_valid_mask(faulty + drawn, problems, self.dataset.folder)

    def origin(self, kind: str, case_id: str, rejected: int) -> MaskOrigin:
        """The record of a mask made from a case."""
        return MaskOrigin(
            kind=kind,
            source_dataset=self.dataset.name,
            source_case=case_id,
            source_sha256=self.hash(case_id),
            rejected=rejected,
        )

    def _faults(self, case_id: str) -> list[str]:
        mask = self.load(case_id).data
        return mask_problems(mask, self.dataset.schema, mask)


class RealMasks:
    """The masks of real cases as they are; one that is anatomically invalid is passed over for the next."""

    kind = "real"

    def __init__(self, cases: RealCases) -> None:
        self.cases = cases
        self.schema = cases.dataset.schema

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """The mask of a real case; the seed does not matter.

        Raises:
            LabelError: when no mask in reach is valid.
        """

        def attempt(case_id: str, _rejected: int, _again: int) -> tuple[Fitted, list[str]]:
            return fit_valid(self.cases.load(case_id), [], fit, self.schema)

        case_id, mask, rejected = self.cases.search(index, attempt)
        return DrawnMask.of(mask, self.cases.origin(self.kind, case_id, rejected))
