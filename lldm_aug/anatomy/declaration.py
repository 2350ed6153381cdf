"""What a data set's structures are to each other: which are lesions, where they lie, and what they must not touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from lldm_aug.anatomy.tumour_sizes import HCC_SIZES, TumourSizes
from lldm_aug.config.explain import explain, nearest
from lldm_aug.config.strict_yaml import Parsed, parse_yaml
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, LabelError
from lldm_aug.io.hashing import sha256_json
from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record

ANATOMY_FILE = "anatomy.yaml"

LIVER = "liver"
VESSELS = frozenset({"portal_vein", "hepatic_vein", "vessel", "vessels", "hepatic_vessels"})
LESIONS = frozenset({"hcc", "tumour", "tumor", "lesion"})

ShapeKind = Literal["blobs", "copies"]


class Numbers(Record):
    """How many lesions are added to a mask: a Poisson number.

    Args:
        mean_added: mean of that number; at least one is added where nothing else changes.
        most: no lesion is added to as many.
    """

    mean_added: Annotated[float, Field(ge=0)] = 1.0
    most: Annotated[int, Field(ge=1)] = 8


class Lesion(Record):
    """A structure whose connected components come, go and change from patient to patient.

    Args:
        within: structures that it lies in: it takes their voxels, and leaves them behind where it is removed.
        holds: structures that may lie inside of it and belong to it, such as no-reflow in an infarct.
        shapes: of added lesions: ``blobs`` are ellipsoids with an uneven border, ``copies`` are real lesions of the
            training cases with what they hold; each kind as often as the others.
        cut: whether lesions are cut to what they lie within, such as infarcts to a wall of 8 mm: a shape may then be
            much larger than that structure is thick.
        mirror: whether copies may be mirrored.
        sizes: diameters of added lesions; None takes those of the training masks.
    """

    within: tuple[str, ...]
    holds: tuple[str, ...] = ()
    shapes: tuple[ShapeKind, ...] = ("blobs", "copies")
    cut: bool = False
    mirror: bool = True
    sizes: TumourSizes | None = None


class Anatomy(Record):
    """The roles of a data set's structures. Structures without a role keep each of their voxels.

    Args:
        lesions: by the name of the structure.
        vessels: structures whose trunks no lesion touches; their thin branches may be overgrown.
        lesion_free_hosts: whether a case without a labelled lesion has none, so that lesions may be added to it.
        numbers: how many lesions are added; None aims at as many in a mask as the training masks have.
    """

    lesions: dict[str, Lesion] = Field(default_factory=dict)
    vessels: tuple[str, ...] = ()
    lesion_free_hosts: bool = False
    numbers: Numbers | None = None

    @property
    def tissues(self) -> tuple[str, ...]:
        """Names of the structures that lesions lie in."""
        return tuple(dict.fromkeys(name for lesion in self.lesions.values() for name in lesion.within))

    @property
    def editable(self) -> frozenset[str]:
        """Names of the lesions and of what they hold."""
        return frozenset(self.lesions).union(*(lesion.holds for lesion in self.lesions.values()))

    @property
    def sha256(self) -> str:
        """Changes with anything that the anatomy says."""
        return sha256_json(self.model_dump(mode="json"))

    def within(self, schema: LabelSchema) -> Anatomy:
        """The roles of a schema's structures; lesions of which it has no host structure are left out."""
        lesions = {
            name: lesion.model_copy(
                update={
                    part: tuple(n for n in getattr(lesion, part) if n in schema.names) for part in ("within", "holds")
                }
            )
            for name, lesion in self.lesions.items()
            if name in schema.names and {*lesion.within} & {*schema.names}
        }
        vessels = tuple(name for name in self.vessels if name in schema.names)
        return self.model_copy(update={"lesions": lesions, "vessels": vessels})


NO_LESIONS = Anatomy()
"""The anatomy of a data set that names none."""

EXAMPLE = """lesions:
  infarct: {within: [myocardium], holds: [no_reflow]}
lesion_free_hosts: true"""


def read_anatomy(dataset: RawDataset) -> Anatomy:
    """The roles of a data set's structures: those in its ``anatomy.yaml``, else those of a liver with lesions.

    Raises:
        LabelError: without a file and a liver with one of the lesions that are known by name, or when the file names a
            structure that the data set lacks, no lesion, or a lesion that lies in no structure.
        ConfigError: when the file is not readable, or has an unknown key or a value of the wrong type.
    """
    anatomy = find_anatomy(dataset)
    if not anatomy.lesions:
        raise LabelError(
            f"tumours are edited in masks of {LIVER!r} and one of {', '.join(sorted(LESIONS))}; "
            f"these have {', '.join(dataset.schema.names)}",
            where=dataset.folder,
            fix="use masks of kind 'real' or 'deformed', which work for any structures, or say in a file "
            f"{ANATOMY_FILE} beside dataset.json which structures are lesions, such as\n{EXAMPLE}\n",
        )
    return anatomy


def find_anatomy(dataset: RawDataset) -> Anatomy:
    """As `read_anatomy`, but `NO_LESIONS` where nothing says which structures are lesions."""
    path = dataset.folder / ANATOMY_FILE
    if not path.is_file():
        return default_anatomy(dataset.schema)
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=path) from error
    anatomy = _validated(document, path)
    if not anatomy.lesions:
        raise LabelError("no lesion is named", where=path, fix=f"write for instance\n{EXAMPLE}\n")
    for name, lesion in anatomy.lesions.items():
        _check_roles(name, lesion, anatomy, path)
    used = {*anatomy.lesions, *anatomy.vessels}.union(*({*n.within, *n.holds} for n in anatomy.lesions.values()))
    for name in sorted(used - {*dataset.schema.names}):
        fix = nearest(name, dataset.schema.names) or f"there are {', '.join(dataset.schema.names)}"
        raise LabelError(f"there is no structure {name!r}", where=path, fix=fix)
    return anatomy


def _validated(document: Parsed, path: Path) -> Anatomy:
    try:
        return Anatomy.model_validate_json(json.dumps(document.value or {}), strict=True)
    except ValidationError as error:
        found = explain(error, Anatomy, document.places)
        raise ConfigError(found.what, where=found.where or path, fix=found.fix) from error


def _check_roles(name: str, lesion: Lesion, anatomy: Anatomy, path: Path) -> None:
    """Raises LabelError when a lesion lies in no structure or two roles of a structure contradict each other."""
    if not lesion.within:
        raise LabelError(f"{name} lies in no structure", where=path, fix="name what it lies in under 'within'")
    if not lesion.shapes:
        raise LabelError(f"{name} has no shapes", where=path, fix="write shapes: [blobs, copies], or one of them")
    roles = {
        "another lesion or a part of one": {*anatomy.editable},
        "a vessel": {*anatomy.vessels},
    }
    for role, names in roles.items():
        for both in sorted(names & {*lesion.within}):
            raise LabelError(f"{name} lies within {both}, which is {role}", where=path, fix="remove one of the two")
    for both in sorted({*lesion.holds} & {*anatomy.lesions, *anatomy.vessels}):
        raise LabelError(f"{name} holds {both}, which is a lesion or a vessel", where=path, fix="remove one of the two")
    if name in anatomy.vessels:
        raise LabelError(f"{name} is a lesion and a vessel", where=path, fix="remove one of the two")


def default_anatomy(schema: LabelSchema) -> Anatomy:
    """A liver with its vessels, and lesions that are known by name; `NO_LESIONS` for other structures."""
    lesions = [name for name in schema.names if name in LESIONS]
    if LIVER not in schema.names or not lesions:
        return NO_LESIONS
    return Anatomy(
        lesions=dict.fromkeys(lesions, Lesion(within=(LIVER,), shapes=("blobs",), sizes=HCC_SIZES)),
        vessels=tuple(name for name in schema.names if name in VESSELS),
        lesion_free_hosts=True,
        numbers=Numbers(),
    )
