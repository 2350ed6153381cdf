"""Which cases lack the annotation of some structures: ``partial_labels.json`` in the data set's folder."""

from __future__ import annotations

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import DatasetError
from lldm_aug.io.records import read_json

PARTIAL_FILE = "partial_labels.json"


def read_partial_labels(dataset: RawDataset) -> dict[str, tuple[str, ...]]:
    """The structures that were not annotated, by case id, in the schema's order; empty without the file.

    Raises:
        DatasetError: when the file is no such mapping, or names a case or a structure that the data set lacks.
    """
    path = dataset.folder / PARTIAL_FILE
    if not path.is_file():
        return {}
    found = read_json(path, error=DatasetError, fix=None)
    if not all(isinstance(names, list) for names in found.values()):
        raise DatasetError("not a mapping of case ids to lists", where=path, fix='write {"case_01": ["hcc"]}')
    cases, structures = {*dataset.case_ids}, dataset.schema.names
    for case_id, names in found.items():
        if case_id not in cases:
            raise DatasetError(f"there is no case {case_id!r}", where=path)
        unknown = [name for name in names if name not in structures]
        if unknown:
            fix = f"there are {', '.join(structures)}"
            raise DatasetError(f"{case_id}: there is no structure {unknown[0]!r}", where=path, fix=fix)
    return {case: tuple(n for n in structures if n in names) for case, names in sorted(found.items()) if names}
