"""What a data set's structures are to each other: which are lesions, where they lie, and what they must not touch."""

from __future__ import annotations

from lldm_aug.record import Record

ANATOMY_FILE = "anatomy.yaml"


class Lesion(Record):
    """A structure whose connected components come, go and change from patient to patient.

    Args:
        within: structures that it lies in: it takes their voxels, and leaves them behind where it is removed.
        holds: structures that may lie inside of it and belong to it, such as no-reflow in an infarct.
    """

    within: tuple[str, ...]
    holds: tuple[str, ...] = ()


class Anatomy(Record):
    """The roles of a data set's structures.

    Args:
        lesions: by the name of the structure.
        vessels: structures whose trunks no lesion touches.
    """

    lesions: dict[str, Lesion]
    vessels: tuple[str, ...] = ()
