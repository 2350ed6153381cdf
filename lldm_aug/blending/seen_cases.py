"""Which cases of a data set a generator or a pool has seen: by id, by the hash of the mask, or by the patient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lldm_aug.blending.leakage import Leak, find_leaks
from lldm_aug.data.patients import relatives
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import patients_of
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance


def seen_cases(
    dataset: RawDataset,
    case_ids: Iterable[str],
    stages: tuple[StageProvenance, ...],
    origins: Sequence[MaskOrigin] = (),
) -> dict[str, str]:
    """The cases that a stage or a mask has seen, by id, by their mask's hash or by patient, each with what saw it."""
    patients = patients_of(dataset)
    found = {case_id: _leaks(dataset, (case_id,), patients, stages, origins) for case_id in case_ids}
    return {case_id: "; ".join(map(str, leaks)) for case_id, leaks in found.items() if leaks}


def leaks_of(
    dataset: RawDataset,
    cases: Sequence[str],
    stages: tuple[StageProvenance, ...],
    origins: Iterable[MaskOrigin] = (),
) -> tuple[Leak, ...]:
    """What has seen some cases of a data set, or other cases of their patients, by id or by their masks' hashes.

    Raises:
        DatasetError: when ``patients.json`` is no such file.
    """
    return _leaks(dataset, cases, patients_of(dataset), stages, origins)


def hashed(dataset: RawDataset, case_ids: Iterable[str]) -> dict[str, str | None]:
    """SHA-256 of the mask file of each case; None for cases of other data sets."""
    return {case: dataset.label_hash(case) if case in dataset.case_ids else None for case in case_ids}


def _leaks(
    dataset: RawDataset,
    cases: Sequence[str],
    patients: Mapping[str, str],
    stages: tuple[StageProvenance, ...],
    origins: Iterable[MaskOrigin],
) -> tuple[Leak, ...]:
    others = relatives(cases, patients)
    return find_leaks(
        GeneratorProvenance(hash="", stages=stages),
        origins,
        dataset=dataset.name,
        validation=hashed(dataset, (*cases, *others)),
        relatives=others,
    )
