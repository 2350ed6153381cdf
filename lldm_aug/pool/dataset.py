"""Reading the cases of a pool, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case, check_same_grid
from lldm_aug.errors import PoolError
from lldm_aug.io.nifti import read_image, read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import PoolCase, read_cases, read_info
from lldm_aug.pool.verify import check_case


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
