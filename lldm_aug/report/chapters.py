"""Which chapter a folder gets."""

from __future__ import annotations

from pathlib import Path

from lldm_aug.errors import LldmAugError
from lldm_aug.models.config_file import CONFIG_FILE
from lldm_aug.pool.manifest import POOL_FILE
from lldm_aug.report.content import Chapter
from lldm_aug.report.leaks import Asked
from lldm_aug.report.pool_chapter import pool_chapter
from lldm_aug.report.results_chapter import RESULTS_FILES, results_chapter
from lldm_aug.report.run_chapter import run_chapter, stage_folders


def chapter_on(folder: Path, asked: Asked) -> Chapter:
    """The chapter on a pool, an evaluation, a training run or a generator.

    Raises:
        LldmAugError: when the folder is none of these, or a file in it is damaged.
    """
    if (folder / POOL_FILE).is_file():
        return pool_chapter(folder, asked)
    if any((folder / name).is_file() for name in RESULTS_FILES):
        return results_chapter(folder, asked)
    if stage_folders(folder) or any((path / CONFIG_FILE).is_file() for path in (folder, folder / "generator")):
        return run_chapter(folder, asked)
    raise LldmAugError(
        "nothing to report on: no pool, evaluation, training run or generator",
        where=folder,
        fix=f"give a folder with {POOL_FILE}, {RESULTS_FILES[0]}, {CONFIG_FILE}, or stages with a run.json",
    )
