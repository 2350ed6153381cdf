"""Filling a pool, and how long each pair took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lldm_aug.io.atomic import append_json_line, read_json_lines
from lldm_aug.masks.source import MaskSource
from lldm_aug.models.image_model import ImageModel
from lldm_aug.pool.manifest import PoolInfo
from lldm_aug.pool.writer import case_name, open_pool
from lldm_aug.synthesis.case import make_case
from lldm_aug.synthesis.generate import generate, missing_indices


@dataclass(frozen=True)
class TimedPool:
    """A pool that is filled in one or several calls.

    Args:
        folder: the pool's.
        timings: file that keeps the seconds of each pair.
        info: the pool's ``pool.json``.
        seed: of the run.
        n: pairs.
    """

    folder: Path
    timings: Path
    info: PoolInfo
    seed: int
    n: int

    def fill(self, model: ImageModel, source: MaskSource, progress: Callable[[int], None]) -> None:
        """Makes what is missing, as the model is sampled by itself; tells how many there are.

        Raises:
            IncompatibleResume: when the pool was begun with other settings.
        """
        open_pool(self.folder, self.info)
        todo = missing_indices(self.folder, self.n, self.seed)
        start = time.perf_counter()
        made = generate(partial(make_case, model, source, model.description.sampling), self.folder, self.seed, todo)
        for number, case in enumerate(made, self.n - len(todo) + 1):
            now = time.perf_counter()
            append_json_line(self.timings, {"case": case.case_id, "seconds": now - start})
            start = now
            progress(number)

    @property
    def seconds(self) -> list[float]:
        """That each pair took, files written; those that a crash left without are missing."""
        by_case = {line["case"]: float(line["seconds"]) for line in read_json_lines(self.timings)}
        names = [case_name(self.seed, index) for index in range(self.n)]
        return [by_case[name] for name in names if name in by_case]
