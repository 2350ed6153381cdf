"""``pool.json`` and ``manifest.jsonl``: a case exists when its manifest line does, until it is retired."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from lldm_aug.data.names import safe_name
from lldm_aug.errors import DatasetError, PoolError
from lldm_aug.io.atomic import append_json_line
from lldm_aug.io.records import read_record, read_records
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.pool.retired import RETIRED_FILE, read_retired
from lldm_aug.record import Record

POOL_FILE = "pool.json"
MANIFEST_FILE = "manifest.jsonl"
FORMAT_VERSION = 1


def _plain(name: str) -> str:
    try:
        return safe_name(name)
    except DatasetError as error:
        raise ValueError(error.what) from error


def _inside(path: str) -> str:
    """A path that stays in its pool on every system: safe names joined by '/'."""
    for part in path.split("/"):
        _plain(part)
    return str(PurePosixPath(path))


CaseId = Annotated[str, AfterValidator(_plain)]
RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TumourEdit(Record):
    """What was done to one tumour of a real mask.

    Args:
        kind: ``added``, ``moved``, ``grown``, ``shrunk`` or ``removed``.
        structure: which lesion it is.
        diameter_mm: of the ball of its volume, as it was put into the real mask; for a removed one, as it was. Where
            the generator's grid is coarser than the mask, the written tumour is as large as that can show.
        was_mm: the same before; None for an added one.
    """

    kind: str
    structure: str
    diameter_mm: float
    was_mm: float | None = None


class MaskOrigin(Record):
    """Where a mask came from.

    Args:
        kind: ``real``, ``deformed``, ``edited``, ``learned`` or ``procedural``.
        source_dataset: data set of the case that it was made from, if any.
        source_case: that case's id, if any.
        source_sha256: SHA-256 of that case's mask file, if any.
        rejected: masks drawn and refused for their anatomy before this one.
        edits: what was done to its tumours, for kind ``edited``.
        donors: other cases of the same data set that gave lesions, by id, with the SHA-256 of their mask files.
    """

    kind: str
    source_dataset: str | None = None
    source_case: str | None = None
    source_sha256: str | None = None
    rejected: int = 0
    edits: tuple[TumourEdit, ...] = ()
    donors: dict[str, str] = Field(default_factory=dict)

    @property
    def cases(self) -> tuple[tuple[str, str, str | None], ...]:
        """Data set, id and SHA-256 of the mask file of each case that the mask was made from."""
        dataset = self.source_dataset or ""
        donors = tuple((dataset, case_id, sha256) for case_id, sha256 in self.donors.items())
        if self.source_case is None and self.source_sha256 is None:
            return donors
        return ((dataset, self.source_case or "", self.source_sha256), *donors)


class FileRecord(Record):
    """Size in bytes and SHA-256 of a file."""

    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class InpaintedRegion(Record):
    """What was painted anew in a host, which is the real case that the mask was made from.

    Args:
        region: ``edits``, ``lesions`` or ``organ``; see `lldm_aug.inpainting.region_choice.choose_region`.
        margin_mm: how far around it was painted, too.
        paint: ``diffusion`` or ``copy-paste``.
        strength: share of the way to noise that the region was sampled from, for ``diffusion``.
        voxels: how many were painted; outside of them image and mask are the host's.
        box: the first voxel of the region and the one behind its last along each axis of the host's grid.
    """

    region: str
    margin_mm: float
    paint: str
    strength: float = 1.0
    voxels: Annotated[int, Field(ge=1)]
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class PoolCase(Record):
    """One line of the manifest.

    Args:
        case_id: name in nnU-Net's raw layout (``images/{case_id}_0000.nii.gz``, ``labels/{case_id}.nii.gz``).
        index: its number in the pool.
        seed: the seed that, with the generator and mask source, decides every voxel.
        mask: the mask's origin.
        files: records by path relative to the pool.
        inpainting: the painted region of a host; None where the whole image is synthetic.
    """

    case_id: CaseId
    index: int
    seed: int
    mask: MaskOrigin
    files: dict[RelativePath, FileRecord]
    inpainting: InpaintedRegion | None = None


class PoolInfo(Record):
    """What is common to all cases of a pool.

    Args:
        format_version: version of this layout.
        lldm_aug_version: version that made it.
        seed: the run's seed.
        mask_source: the kind of masks asked for.
        mask_dataset: data set that the masks were drawn from, if any.
        fold: fold of that data set whose training cases were drawn from, if any.
        split_hash: hash of that fold's split, if any.
        dataset_json: nnU-Net's description of the cases: channels, labels, file ending.
        generator: the generator's identity and history.
        settings_hash: hash over all that decides what case k looks like.
        settings: the resolved settings behind that hash.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    seed: int
    mask_source: str
    mask_dataset: str | None
    fold: int | str | None
    split_hash: str | None
    dataset_json: dict[str, Any]
    generator: GeneratorProvenance
    settings_hash: str
    settings: dict[str, Any]


Line = TypeVar("Line", bound=PoolCase)


def append_case(pool: Path, case: PoolCase) -> None:
    """Adds a case whose files are already on disk; many processes may add to one pool."""
    append_json_line(pool / MANIFEST_FILE, case.model_dump(mode="json"))


def read_cases(pool: Path) -> dict[str, PoolCase]:
    """The cases of a pool by id, sorted; those that it has let go are gone (see `lldm_aug.pool.retired`).

    Raises:
        PoolError: when a line is no valid record, or two lines of one case differ.
    """
    retired = read_retired(pool / RETIRED_FILE)
    return {case_id: case for case_id, case in read_manifest(pool).items() if case_id not in retired}


def read_manifest(pool: Path) -> dict[str, PoolCase]:
    """All cases that a pool ever had, as `read_cases`."""
    return read_lines(pool / MANIFEST_FILE, PoolCase)


def read_lines(path: Path, kind: type[Line]) -> dict[str, Line]:
    """The records of a file of cases by id, sorted; arguments and errors as `read_cases`."""
    cases: dict[str, Line] = {}
    for case in read_records(kind, path, error=PoolError):
        # Two runs that made the same case at once have each written its line; the same seed gave the same files.
        if cases.setdefault(case.case_id, case) != case:
            raise PoolError(f"two different lines for case {case.case_id}", where=path, fix="remove the wrong one")
    return dict(sorted(cases.items()))


def read_info(pool: Path) -> PoolInfo:
    """The pool's ``pool.json``.

    Raises:
        PoolError: when it is missing, invalid, or of a later version.
    """
    path = pool / POOL_FILE
    info = read_record(PoolInfo, path, error=PoolError, fix="point to a folder made by 'lldm-aug generate'")
    if info.format_version > FORMAT_VERSION:
        found = f"written in format {info.format_version}; this version reads up to {FORMAT_VERSION}"
        raise PoolError(found, where=path, fix="update lldm_aug")
    return info
