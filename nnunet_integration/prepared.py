"""A pool prepared for one fold and configuration: preprocessed cases in a folder, and what they are in files beside it.

``lldm_aug/<set>/fold_<k>/<data_identifier>/*.b2nd`` holds nothing but cases, since nnU-Net infers the kind of a data
folder from its files; ``<data_identifier>.json`` and ``.jsonl`` beside it hold the description and a line a case.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from lldm_aug.data.names import safe_name
from lldm_aug.data.splits import Fold
from lldm_aug.errors import DatasetError, PoolError
from lldm_aug.io.atomic import append_json_line, write_text
from lldm_aug.io.hashing import sha256_json
from lldm_aug.io.records import read_record, read_records, refuse_changes
from lldm_aug.pool.manifest import FileRecord, MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.pool.retired import GRACE_SECONDS, RetiredCases, read_retired
from lldm_aug.record import Record
from nnunet_integration.target import Target

FOLDER = "lldm_aug"
FORMAT_VERSION = 1
ENDINGS = (".b2nd", "_seg.b2nd", ".pkl")


class SetInfo(Record):
    """What is common to all cases of a prepared set.

    Args:
        format_version: version of this layout.
        lldm_aug_version: version that made it.
        name: name of the set.
        dataset: name of the real data set.
        fold: fold of the segmentation network that it is for.
        data_identifier: nnU-Net's name of plans and configuration.
        ratio: share of synthetic cases unless a training is told otherwise; None leaves it to the trainer.
        preprocessing: all that decides what a preprocessed case looks like.
        pool: the pool's settings hash.
        generator: what the generator was trained on.
        leaks: validation cases that leaked, where that was allowed.
        renewing: whether its cases come and go with those of a pool that renews itself.
    """

    format_version: int = FORMAT_VERSION
    lldm_aug_version: str
    name: str
    dataset: str
    fold: int | str
    data_identifier: str
    ratio: float | None = Field(default=None, ge=0, le=1)
    preprocessing: dict[str, Any]
    pool: str
    generator: GeneratorProvenance
    leaks: tuple[str, ...] = ()
    renewing: bool = False

    def identity(self) -> dict[str, Any]:
        """What may not change while a set is completed; the ratio may."""
        return self.model_dump(mode="json", exclude={"lldm_aug_version", "ratio", "leaks"})


class PreparedPair(Record):
    """One preprocessed case.

    Args:
        case_id: its id, as in the pool.
        mask: the mask's origin.
        source: hash of the pool's files that it was made from.
        files: the preprocessed files.
    """

    case_id: str
    mask: MaskOrigin
    source: str
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class PreparedSet:
    """Where a prepared set is.

    Args:
        root: folder of its set and fold.
        data_identifier: nnU-Net's name of plans and configuration.
    """

    root: Path
    data_identifier: str

    @classmethod
    def of(cls, target: Target, name: str, fold: Fold) -> PreparedSet:
        """The set of this name, whether it exists or not."""
        root = target.folder / FOLDER / safe_name(name, "name of a prepared set") / f"fold_{fold}"
        return cls(root, target.data_identifier)

    @property
    def data_folder(self) -> Path:
        """Folder of the preprocessed cases."""
        return self.root / self.data_identifier

    @property
    def info_path(self) -> Path:
        """File of the `SetInfo`."""
        return self.root / f"{self.data_identifier}.json"

    @property
    def cases_path(self) -> Path:
        """File with a line for each case."""
        return self.root / f"{self.data_identifier}.jsonl"

    @property
    def retired_path(self) -> Path:
        """File with a line for each case that was let go."""
        return self.root / f"{self.data_identifier}.retired.jsonl"

    @property
    def report_path(self) -> Path:
        """File of the comparison with the real cases."""
        return self.root / f"{self.data_identifier}.report.json"

    def info(self) -> SetInfo:
        """The description.

        Raises:
            PoolError: when it is missing or invalid.
        """
        fix = "run 'lldm-aug nnunet prepare' for it first"
        return read_record(SetInfo, self.info_path, error=PoolError, fix=fix)

    def check_resumes(self, info: SetInfo) -> None:
        """Checks that a set which exists already is the same one.

        Raises:
            IncompatibleResume: when the set was begun with another pool, generator or preprocessing.
        """
        if not self.info_path.exists():
            return
        fix = "choose another --name, or delete the folder"
        refuse_changes(self.root, self.info().identity(), info.identity(), fix=fix)

    def begin(self, info: SetInfo) -> None:
        """Writes the description, and makes the folder of the cases."""
        write_text(self.info_path, info.model_dump_json(indent=2) + "\n")
        self.data_folder.mkdir(parents=True, exist_ok=True)

    def cases(self) -> dict[str, PreparedPair]:
        """The cases that are whole, by id, but for those let go; of two lines for one case the later one counts.

        Raises:
            PoolError: when a line is no valid record.
        """
        lines = read_records(PreparedPair, self.cases_path, error=PoolError)
        retired = read_retired(self.retired_path)
        return {case.case_id: case for case in sorted(lines, key=lambda c: c.case_id) if case.case_id not in retired}

    def add(self, case: PreparedPair) -> None:
        """Adds a case whose files are in place."""
        append_json_line(self.cases_path, case.model_dump(mode="json"))

    def retired(self, grace_seconds: float = GRACE_SECONDS) -> RetiredCases:
        """For letting cases go; see there."""
        return RetiredCases(
            self.retired_path, lambda name: [self.data_folder / f"{name}{ending}" for ending in ENDINGS], grace_seconds
        )

    def is_whole(self, case: PreparedPair) -> bool:
        """Whether the files of a case have the sizes that its line says."""
        return all(
            (path := self.data_folder / name).is_file() and path.stat().st_size == record.size
            for name, record in case.files.items()
        )

    def hash(self) -> str:
        """SHA-256 over the description and all cases, if these stay: names what a training drew from."""
        info = self.info()
        cases = [] if info.renewing else [case.model_dump(mode="json") for case in self.cases().values()]
        return sha256_json([info.identity(), cases])

    def check_fits(self, target: Target) -> None:
        """Refuses a set that was made with other preprocessing than the plans now ask for.

        Raises:
            PoolError: names what differs.
        """
        before, now = self.info().preprocessing, target.preprocessing()
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            raise PoolError(
                f"the set is stale: the plans now have another {', '.join(changed)}",
                where=self.root,
                fix="prepare the pool again under another --name, or delete this folder first",
            )

    def check_whole(self) -> dict[str, PreparedPair]:
        """The cases, after a look at all their files.

        Raises:
            PoolError: when there are none, or files are missing or cut short.
        """
        cases = self.cases()
        broken = [name for name, case in cases.items() if not self.is_whole(case)]
        if not cases or broken:
            raise PoolError(
                f"files of {len(broken)} cases are missing or cut short, such as {broken[0]}" if broken else "no cases",
                where=self.data_folder,
                fix="run 'lldm-aug nnunet prepare' again to complete the set",
            )
        return cases


def find_prepared(target: Target, fold: Fold, name: str | None = None) -> PreparedSet:
    """The set of a fold to train with: the one of this name, or the only one.

    Raises:
        DatasetError: when there is none, or a choice has to be made.
    """
    if name is not None:
        return PreparedSet.of(target, name, fold)
    sets = target.folder / FOLDER
    found = sorted(sets.glob(f"*/fold_{fold}/{target.data_identifier}.json"))
    if not found:
        raise DatasetError(
            f"no pool is prepared for fold {fold} and {target.data_identifier}",
            where=sets,
            fix=f"run 'lldm-aug nnunet prepare -d {target.name[7:10]} -c {target.configuration_name} --fold {fold}'",
        )
    if len(found) > 1:
        names = ", ".join(path.parents[1].name for path in found)
        raise DatasetError(f"{len(found)} prepared sets fit ({names})", where=sets, fix="choose by LLDM_AUG_SET=NAME")
    return PreparedSet(found[0].parent, target.data_identifier)
