"""Which real cases are held out, and which the generator was trained on.

Of the held-out cases half lend their masks, and images made for these are compared with the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.blending.seen_cases import leaks_of
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, Split, load_split
from lldm_aug.errors import DatasetError, LabelError, LeakageError
from lldm_aug.masks.validity import mask_problems
from lldm_aug.models.image_model import ImageDescription
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.synthesis.generation_plan import MaskRequest

FEWEST = 4


@dataclass(frozen=True)
class HeldOut:
    """Two sets of real cases that no stage saw.

    Args:
        dataset: where they are.
        fold: the fold whose validation cases they are; ``all`` for a data set of held-out cases alone.
        masks: ids of set A, whose masks are used.
        others: ids of set B, as many, which are independent of those masks.
        asked: how many were asked for; more than there are if the cases were split in halves.
        unusable: cases left out for their masks, with the reason.
    """

    dataset: RawDataset
    fold: Fold
    masks: tuple[str, ...]
    others: tuple[str, ...]
    asked: int
    unusable: dict[str, str]

    @property
    def request(self) -> MaskRequest:
        """The masks of set A, each once."""
        return MaskRequest("real", self.dataset, Split(self.fold, self.masks, ()))


def choose_heldout(dataset: RawDataset, fold: Fold | None, n: int) -> HeldOut:
    """The first ``n`` cases and the ``n`` after them, or two halves where there are not so many.

    Raises:
        DatasetError: for fewer than 4 cases with anatomically valid masks, or a fold that is missing or ``all``.
    """
    case_ids = dataset.case_ids if fold is None else load_split(dataset, fold, write=False).val
    usable: list[str] = []
    unusable: dict[str, str] = {}
    partial = read_partial_labels(dataset)
    for case_id in sorted(case_ids):
        if len(usable) == 2 * n:
            break
        problems = mask_faults(dataset, case_id, partial)
        if problems:
            unusable[case_id] = problems
        else:
            usable.append(case_id)
    if len(usable) < FEWEST:
        raise DatasetError(
            f"{len(usable)} held-out cases with valid masks; at least {FEWEST} are needed",
            where=dataset.folder,
            fix="give more held-out cases with --data, or another --fold",
        )
    half = min(n, len(usable) // 2)
    fold = "all" if fold is None else fold
    return HeldOut(dataset, fold, tuple(usable[:half]), tuple(usable[half : 2 * half]), n, unusable)


def mask_faults(dataset: RawDataset, case_id: str, partial: Mapping[str, tuple[str, ...]]) -> str:
    """Why a real case cannot be compared with; nothing if it can.

    Args:
        dataset: the case's.
        case_id: the case.
        partial: structures that were not annotated, by case.
    """
    mask = dataset.load_label(case_id).data
    missing = [f"{name} not annotated" for name in partial.get(case_id, ())]
    return "; ".join(missing or mask_problems(mask, dataset.schema, mask))  # as masks of kind real are judged


def heldout_notes(heldout: HeldOut) -> list[str]:
    """What a reader has to know of the choice, in words."""
    notes = []
    if len(heldout.masks) < heldout.asked:
        notes.append(
            f"fewer than {2 * heldout.asked} held-out cases: they were split into halves of {len(heldout.masks)}, "
            f"and n is {len(heldout.masks)} instead of {heldout.asked}"
        )
    if heldout.unusable:
        listed = "; ".join(f"{case_id} ({why})" for case_id, why in heldout.unusable.items())
        notes.append(f"held-out cases left out for their masks: {listed}")
    return notes


def refuse_seen(heldout: HeldOut, stages: tuple[StageProvenance, ...], who: str, where: object) -> None:
    """Makes sure that nothing which is judged, or judges, has seen a held-out case, by its id or its mask's hash.

    Raises:
        LeakageError: names each stage and its cases.
    """
    dataset = heldout.dataset
    leaks = leaks_of(dataset, (*heldout.masks, *heldout.others), stages)
    if leaks:
        raise LeakageError(
            f"{who} has seen held-out cases: {'; '.join(map(str, leaks))}",
            where=where,
            fix=f"give cases of {dataset.name} that no stage was trained on, such as the fold's own with --fold",
        )


def lent_by(pool: PoolDataset) -> tuple[str, ...]:
    """The held-out cases that lent the masks of a pool of kind ``real``, in the order of its pairs."""
    sources = [pair.mask.source_case for pair in pool.cases]
    return tuple(source for source in sources if source is not None)


def check_kind(dataset: RawDataset, description: ImageDescription) -> None:
    """Raises LabelError or DatasetError when a data set's structures or channels are not the generator's."""
    schema = description.labels
    if dataset.schema != schema:
        raise LabelError(
            f"the generator knows {', '.join(schema.names)}, not {', '.join(dataset.schema.names)}",
            where=dataset.folder,
            fix="give a data set of the same structures",
        )
    if len(dataset.channel_names) != description.num_channels:
        raise DatasetError(
            f"{len(dataset.channel_names)} channels; the generator makes {description.num_channels}",
            where=dataset.folder,
        )


def find_training(
    stages: Sequence[StageProvenance], name: str | Path | None
) -> tuple[RawDataset | None, tuple[str, ...], str]:
    """The data set of the last stage, the ids of its cases that any stage saw, and why there are none.

    Args:
        stages: of the generator, at least one.
        name: folder or name of the data set; None to look for it by the stage's word.

    Raises:
        DatasetError: when the data set that is found lacks a case, or has another mask for it.
    """
    last = stages[-1].dataset
    hashes = {case: sha for stage in stages if stage.dataset == last for case, sha in stage.cases.items()}
    try:
        dataset = RawDataset.find(last if name is None else name)
    except DatasetError as error:
        if name is not None:
            raise
        return None, (), f"{last} is not at hand ({error.what}); give --training"
    unknown = sorted(case for case, sha in hashes.items() if not _same(dataset, case, sha))
    if unknown:
        found = f"{len(unknown)} of {len(hashes)} cases that the generator saw are missing or differ: {unknown[0]}"
        raise DatasetError(found, where=dataset.folder, fix="give the very data set that it was trained on")
    return dataset, tuple(sorted(hashes)), ""


def _same(dataset: RawDataset, case_id: str, sha256: str) -> bool:
    return case_id in dataset.case_ids and dataset.label_hash(case_id) == sha256
