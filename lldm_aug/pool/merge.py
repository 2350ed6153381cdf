"""Several pools of one generator as one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lldm_aug.config.stages import NOT_OF_IMAGES
from lldm_aug.errors import IncompatibleResume, PoolError
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.hashing import sha256_json
from lldm_aug.io.records import refuse_changes
from lldm_aug.pool.manifest import POOL_FILE, PoolCase, PoolInfo, append_case, read_cases, read_info
from lldm_aug.pool.pool_dataset import check_case, file_record
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance
from lldm_aug.pool.rejected import RejectedCase, append_rejected, read_rejected

MIXED = "mixed"


def merge_pools(out: Path, pools: Sequence[Path]) -> Iterator[str]:
    """Copies the cases of several pools into a new one, each checked by its hashes; yields the id of each copied case.

    Pairs that a quality filter rejected come along, as rejected ones.

    A merge that was interrupted goes on when it is run again.

    Args:
        out: the new pool's folder.
        pools: the pools, which stay as they are.

    Raises:
        PoolError: when the pools differ in generator, description or split, share a case id, or a file is damaged.
        IncompatibleResume: when ``out`` holds something else.
    """
    infos = {pool: read_info(pool) for pool in pools}
    merged = merged_info(infos)
    cases = _all_cases(pools)
    _begin(out, merged)
    done = {*read_cases(out), *read_rejected(out)}
    for case_id, (pool, case) in cases.items():
        if case_id not in done:
            _copy_case(out, pool, case)
            yield case_id


def merged_info(infos: dict[Path, PoolInfo]) -> PoolInfo:
    """What is common to the cases of all these pools.

    Raises:
        PoolError: names the first pool that does not fit to the first one, and in what.
    """
    if not infos:
        raise PoolError("no pools to merge")
    first, *others = infos.values()
    for pool, info in infos.items():
        if _itself(info.generator) != _itself(first.generator):
            raise PoolError(f"its generator differs from that of {next(iter(infos))}", where=pool)
        for name in ("dataset_json", "format_version", "mask_dataset", "fold", "split_hash"):
            if getattr(info, name) != getattr(first, name):
                raise PoolError(f"its {name} differs from that of {next(iter(infos))}", where=pool)
    if all(info.settings_hash == first.settings_hash for info in others):
        return first
    settings: dict[str, Any] = {"merged": [info.settings for info in infos.values()]}
    sources = {info.mask_source for info in infos.values()}
    mask_source = first.mask_source if len(sources) == 1 else MIXED
    # Referees and mask models may differ: what any of them saw, the merged pool has seen.
    stages = list(dict.fromkeys(stage.model_dump_json() for info in infos.values() for stage in info.generator.stages))
    generator = GeneratorProvenance(
        hash=first.generator.hash, stages=tuple(map(StageProvenance.model_validate_json, stages))
    )
    changed = {
        "generator": generator,
        "mask_source": mask_source,
        "settings": settings,
        "settings_hash": sha256_json(settings),
    }
    return first.model_copy(update=changed)


def _itself(generator: GeneratorProvenance) -> GeneratorProvenance:
    """A generator without those that drew masks for it or judged its images, which may differ from pool to pool."""
    own = tuple(stage for stage in generator.stages if stage.stage not in NOT_OF_IMAGES)
    return generator.model_copy(update={"stages": own})


def _all_cases(pools: Sequence[Path]) -> dict[str, tuple[Path, PoolCase]]:
    cases: dict[str, tuple[Path, PoolCase]] = {}
    for pool in pools:
        for case_id, case in {**read_cases(pool), **read_rejected(pool)}.items():
            if case_id in cases:
                fix = "merge pools of different seeds or parts"
                raise PoolError(f"case {case_id} is also in {cases[case_id][0]}", where=pool, fix=fix)
            cases[case_id] = pool, case
    return cases


def _begin(out: Path, info: PoolInfo) -> None:
    if (out / POOL_FILE).exists():
        before, now = (each.model_dump(mode="json") for each in (read_info(out), info))
        refuse_changes(out, before, now, fix="choose another folder")
    elif out.exists() and any(out.iterdir()):
        raise IncompatibleResume("is not empty", where=out, fix="choose another folder")
    else:
        write_json(out / POOL_FILE, info.model_dump(mode="json"))


def _copy_case(out: Path, pool: Path, case: PoolCase) -> None:
    check_case(pool, case, full=False)
    for name, record in case.files.items():
        with atomic_file(out / name) as temporary:
            shutil.copyfile(pool / name, temporary)
            if file_record(temporary) != record:  # of the copy: a fault of either disk shows
                raise PoolError("differs from its manifest line", where=pool / name, fix="generate the case again")
    if isinstance(case, RejectedCase):
        append_rejected(out, case)
    else:
        append_case(out, case)
