"""Filling a pool: what is in the manifest is done, the rest is made, in any order and by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.errors import ConfigError
from lldm_aug.masks.source import MaskSource
from lldm_aug.models.generator import Generator
from lldm_aug.pool.manifest import PoolCase, read_cases
from lldm_aug.pool.verify import check_case
from lldm_aug.pool.writer import case_name, write_case
from lldm_aug.synthesis.case import make_case


def missing_indices(pool: Path, n: int, seed: int, num_parts: int = 1, part_id: int = 0) -> list[int]:
    """Numbers below ``n`` that belong to a part and are not in the pool yet.

    Raises:
        ConfigError: for a part that is not in 0..num_parts - 1.
        PoolError: when a case that the manifest names is missing or has another size.
    """
    if not 0 <= part_id < num_parts:
        raise ConfigError(f"part {part_id} is not in 0..{num_parts - 1}", where="--part-id")
    done = read_cases(pool)
    for case in done.values():
        check_case(pool, case, full=False)
    return [i for i in range(part_id, n, num_parts) if case_name(seed, i) not in done]


def generate(
    generator: Generator, source: MaskSource, pool: Path, seed: int, indices: list[int], sampling: SamplingSettings
) -> Iterator[PoolCase]:
    """Makes cases and adds each to the pool; yields their records.

    Args:
        generator: a loaded generator.
        source: of masks.
        pool: an opened pool (see `open_pool`).
        seed: of the run.
        indices: numbers of the cases to make.
        sampling: solver, steps and guidance.
    """
    for index in indices:
        case = make_case(generator, source, seed, index, sampling)
        yield write_case(pool, case_name(seed, index), index, case.seed, case.image, case.label, case.grid, case.origin)
