"""Which cases show the same patient: ``patients.json`` in a data set's folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from lldm_aug.errors import DatasetError
from lldm_aug.io.records import read_json

PATIENTS_FILE = "patients.json"


def read_patients(case_ids: Iterable[str], *folders: Path) -> dict[str, str]:
    """The patient of each case; empty without the file, which means that every case is a patient of its own.

    The file maps case ids to patients: ``{"case_01": "anna", "case_02": "anna", "case_03": "bert"}``. It may also name
    cases of other data sets, as ``"Dataset701_Other/case_07"``.

    Args:
        case_ids: the cases that it must name.
        *folders: the data set's folders; the first that has the file counts.

    Raises:
        DatasetError: when the file is no such mapping, or lacks a case: a misspelt id must not pass for a patient.
    """
    path = next((folder / PATIENTS_FILE for folder in folders if (folder / PATIENTS_FILE).is_file()), None)
    if path is None:
        return {}
    found = read_json(path, error=DatasetError, fix=None)
    if not all(isinstance(patient, str) and patient for patient in found.values()):
        raise DatasetError("not a mapping of case ids to patients", where=path, fix='write {"case_01": "anna"}')
    missing = sorted({*case_ids} - {*found})
    if missing:
        fix = "name every case of the data set"
        raise DatasetError(f"{len(missing)} cases have no patient, such as {missing[0]}", where=path, fix=fix)
    return found


def relatives(held_out: Iterable[str], patients: Mapping[str, str]) -> dict[str, str]:
    """The other cases of the patients that held-out cases show, each with the held-out case that it belongs to."""
    held_out = sorted(held_out)
    first = {patients[case]: case for case in reversed(held_out) if case in patients}
    shown = ((case, first.get(patient)) for case, patient in sorted(patients.items()) if case not in held_out)
    return {case: of for case, of in shown if of is not None}


def by_patient(case_ids: Iterable[str], patients: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The cases in groups of one patient, all sorted; a case without a patient is alone."""
    groups = defaultdict(list)
    for case_id in sorted(case_ids):
        groups[patients.get(case_id, case_id)].append(case_id)
    return sorted(map(tuple, groups.values()))
