"""Reading the cases of a pool, checked, and checks that its files are those that the manifest names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case, check_same_grid
from lldm_aug.errors import PoolError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.io.nifti import read_image, read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import FileRecord, PoolCase, PoolInfo, read_cases, read_info
from lldm_aug.pool.rejected import read_rejected
from lldm_aug.pool.retired import RETIRED_FILE, read_retired


def file_record(path: Path) -> FileRecord:
    """Size and hash of a file on disk."""
    return FileRecord(size=path.stat().st_size, sha256=sha256_file(path))


def check_case(pool: Path, case: PoolCase, *, full: bool = True) -> None:
    """Checks one case: sizes always, hashes if ``full``.

    Raises:
        PoolError: names the first file that is missing or differs.
    """
    for name, record in case.files.items():
        path = pool / name
        if not path.resolve().is_relative_to(pool.resolve()):
            raise PoolError(f"file {name!r} lies outside the pool", where=pool)
        if not path.is_file():
            lines = "rejected.jsonl" if name.startswith("rejected/") else "manifest.jsonl"
            fix = f"restore it, or delete the line of its case in {lines} and generate again"
            raise PoolError("missing", where=path, fix=fix)
        if path.stat().st_size != record.size or (full and sha256_file(path) != record.sha256):
            fix = "delete it and its line, then generate again"
            raise PoolError("differs from its manifest line", where=path, fix=fix)


def case_files(info: PoolInfo, case_id: str) -> set[str]:
    """The paths that a case of this pool must have: one image a channel, and the mask."""
    ending = info.dataset_json.get("file_ending", ".nii.gz")
    channels = len(info.dataset_json.get("channel_names", ()))
    return {f"images/{case_id}_{i:04d}{ending}" for i in range(channels)} | {f"labels/{case_id}{ending}"}


def verify_pool(pool: Path) -> int:
    """Checks every file of a pool by its hash, those of rejected pairs too; returns the number of cases.

    Cases that a renewing pool has let go are not looked for.

    Raises:
        PoolError: as `check_case`, when a case lacks an image or its mask, or ``pool.json`` or the manifest is invalid.
    """
    info = read_info(pool)
    cases = read_cases(pool)
    for case in cases.values():
        missing = sorted(case_files(info, case.case_id) - {*case.files})
        if missing:
            raise PoolError(f"the line of case {case.case_id} lacks {missing[0]}", where=pool)
        check_case(pool, case)
    retired = read_retired(pool / RETIRED_FILE)
    for case_id, rejected in read_rejected(pool).items():
        if case_id not in retired:
            check_case(pool, rejected)
    return len(cases)


class PoolDataset:
    """A map-style data set of a pool's cases, in the order of their ids.

    Args:
        pool: the pool's folder.
        cases: ids to keep; all by default.

    Raises:
        PoolError: when ``pool.json`` or the manifest is missing or invalid, or has none of the cases.
    """

    def __init__(self, pool: Path | str, cases: Sequence[str] | None = None) -> None:
        self.folder = Path(pool)
        self.info = read_info(self.folder)
        self.schema = LabelSchema.from_dataset_json(self.info.dataset_json, self.folder)
        known = read_cases(self.folder)
        missing = sorted({*(cases or ())} - {*known})
        if missing:
            raise PoolError(f"no case {', '.join(missing[:5])} in the manifest", where=self.folder)
        self.cases: tuple[PoolCase, ...] = tuple(known[name] for name in sorted(known if cases is None else {*cases}))
        if not self.cases:
            raise PoolError("it has no cases", where=self.folder, fix="run 'lldm-aug generate' again to complete it")

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Case:
        return self.read(self.cases[index])

    def read(self, case: PoolCase) -> Case:
        """A case: image (C, X, Y, Z) float32, mask (X, Y, Z) int16, grid.

        Raises:
            PoolError: when a file is missing or has another size than its manifest line says.
            InvalidVolume, LabelError: when a file is damaged, or its contents don't fit each other or the schema.
        """
        check_case(self.folder, case, full=False)  # gzip's own checksum finds a flipped bit
        label_path = self.label_path(case)
        label = read_label(label_path)
        self.schema.check(label.data, label_path)
        channels = []
        for path in self.image_paths(case):
            channel = read_image(path)
            check_same_grid(channel.grid, path, label.grid, label_path)
            channels.append(channel.data)
        return Case(case.case_id, np.stack(channels), label.data, label.grid)

    def image_paths(self, case: PoolCase) -> list[Path]:
        """The image files of a case, one a channel."""
        return self._paths(case, f"images/{case.case_id}_")

    def label_path(self, case: PoolCase) -> Path:
        """The mask file of a case."""
        return self._paths(case, f"labels/{case.case_id}.")[0]

    def _paths(self, case: PoolCase, start: str) -> list[Path]:
        names = sorted(name for name in case.files if name.startswith(start))
        if not names:
            raise PoolError(f"case {case.case_id} has no file {start}*", where=self.folder)
        return [self.folder / name for name in names]
