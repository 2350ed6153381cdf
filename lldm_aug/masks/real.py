"""Masks of real cases, each used equally often."""

from __future__ import annotations

from functools import lru_cache

from lldm_aug.data.raw import RawDataset
from lldm_aug.masks.source import DrawnMask, first_valid
from lldm_aug.masks.validity import mask_problems
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

CACHED_MASKS = 8


class RealCases:
    """The cases whose masks may be used, in an endless order in which each comes once before any comes again.

    The order is shuffled anew each round, by the case ids alone: every case of a pool has a seed of its own, and only
    an order that they share uses all cases equally.
    """

    def __init__(self, dataset: RawDataset, cases: tuple[str, ...]) -> None:
        self.dataset = dataset
        self.cases = tuple(sorted(cases))
        self.load = lru_cache(maxsize=CACHED_MASKS)(dataset.load_label)
        self._hash = lru_cache(maxsize=None)(dataset.label_hash)

    def at(self, index: int) -> str:
        """Id of the case at a place in the order."""
        turn, place = divmod(index, len(self.cases))
        order = numpy_rng(*self.cases, "order of masks", turn).permutation(len(self.cases))
        return self.cases[int(order[place])]

    def origin(self, kind: str, case_id: str, rejected: int) -> MaskOrigin:
        """The record of a mask made from a case."""
        return MaskOrigin(
            kind=kind,
            source_dataset=self.dataset.name,
            source_case=case_id,
            source_sha256=self._hash(case_id),
            rejected=rejected,
        )


class RealMasks:
    """The masks of real cases as they are; one that is anatomically invalid is passed over for the next."""

    kind = "real"

    def __init__(self, cases: RealCases) -> None:
        self.cases = cases
        self.schema = cases.dataset.schema

    def draw(self, index: int, seed: int) -> DrawnMask:
        """The mask of a real case; the seed does not matter.

        Raises:
            LabelError: when no mask in reach is valid.
        """

        def attempt(number: int) -> tuple[tuple[str, Volume], list[str]]:
            case_id = self.cases.at(index + number)
            mask = self.cases.load(case_id)
            return (case_id, mask), mask_problems(mask.data, self.schema, mask.data)

        (case_id, mask), rejected = first_valid(attempt, self.cases.dataset.folder)
        return DrawnMask(mask, self.cases.origin(self.kind, case_id, rejected))
