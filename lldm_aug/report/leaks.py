"""What a report was asked for, and whether validation cases went into a generator or a pool.

That is told by its own record, and by a look at a fold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lldm_aug.blending.seen_cases import leaks_of
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, load_split
from lldm_aug.pool.manifest import MaskOrigin, PoolInfo
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance
from lldm_aug.record import Record

Source = tuple[str, Fold, str]


class LeakState(Record):
    """What is known.

    Args:
        clean: True if no validation case was found, False if one was, None if it cannot be told from the record.
        text: in words.
    """

    clean: bool | None
    text: str


def on_record(stages: Iterable[StageProvenance], pool: PoolInfo | None = None) -> LeakState:
    """What stages, and the masks of a pool, were drawn from by their own record; nothing is looked up."""
    sources: list[Source] = [(s.dataset, s.fold, s.split_hash) for s in stages]
    if pool is not None and pool.mask_dataset is not None:
        sources.append((pool.mask_dataset, "all" if pool.fold is None else pool.fold, pool.split_hash or ""))
    distinct = sorted(set(sources), key=str)
    if not distinct:
        return LeakState(clean=None, text="No training is on record.")
    if len(distinct) == 1 and distinct[0][1] != "all":
        dataset, fold, _ = distinct[0]
        text = f"By its record all of it comes from the training cases of fold {fold} of {dataset}, and none from its"
        return LeakState(clean=True, text=f"{text} validation cases. Other folds' validation cases were seen.")
    listed = "; ".join(f"{dataset} fold {fold}, split {split[:8]}" for dataset, fold, split in distinct)
    text = f"Comes from {listed}. Every case behind a fold called 'all' was seen: none of those may be validated on."
    if all(fold != "all" for _, fold, _ in distinct):
        text = f"Comes from different folds or data sets ({listed}): compare with the fold that you validate on."
    return LeakState(clean=None, text=text)


def against(
    dataset: RawDataset, fold: Fold, generator: GeneratorProvenance, origins: Iterable[MaskOrigin] = ()
) -> LeakState:
    """Looks for a fold's validation cases and their patients, by id and by mask hash.

    Raises:
        DatasetError: for a fold or a ``patients.json`` that is not there or not valid.
    """
    held_out = load_split(dataset, fold, write=False).val
    leaks = leaks_of(dataset, held_out, generator.stages, origins)
    of = f"{len(held_out)} validation cases of fold {fold} of {dataset.name}"
    if leaks:
        return LeakState(clean=False, text=f"Of the {of}: {'; '.join(map(str, leaks))}.")
    return LeakState(clean=True, text=f"None of the {of} was seen (by id, by mask hash and by patient).")


@dataclass(frozen=True)
class Asked:
    """Options of a report.

    Args:
        pairs: accepted pairs of each pool for the viewer; a third as many rejected ones are added.
        dataset: data set whose fold is searched for in the history of pools and generators.
        fold: that fold.
    """

    pairs: int = 6
    dataset: RawDataset | None = None
    fold: Fold = 0

    def leak_state(
        self, generator: GeneratorProvenance, origins: Iterable[MaskOrigin] = (), pool: PoolInfo | None = None
    ) -> LeakState:
        """What is known of validation cases in a generator, or in a pool of its cases."""
        if self.dataset is not None:
            return against(self.dataset, self.fold, generator, origins)
        return on_record(generator.stages, pool)
