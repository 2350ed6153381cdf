"""The cases that a generator was trained on, which copies are looked for among."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import DatasetError
from lldm_aug.pool.provenance import StageProvenance


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
