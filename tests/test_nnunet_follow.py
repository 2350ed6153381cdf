"""A prepared set that follows a pool whose cases come and go."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pools
import pytest
from nnunet_project import CONFIGURATION, Project

from lldm_aug.errors import IncompatibleResume, PoolError
from lldm_aug.pool.manifest import MaskOrigin, read_manifest
from lldm_aug.pool.retired import RETIRED_FILE, RetiredCases
from nnunet_integration.follow import follow_pool
from nnunet_integration.prepare import Preparation, plan_preparation, prepare
from nnunet_integration.prepared import PreparedSet

ORIGIN = MaskOrigin(kind="procedural")


@pytest.fixture
def pool(project: Project, tmp_path: Path) -> Path:
    """Two cases, and no prepared sets."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)
    return pools.write_pool(tmp_path / "fresh", cases=2)


def retire(pool: Path, *indices: int, grace_seconds: float = 0) -> None:
    """As the pool's maker does."""
    known = read_manifest(pool)
    retired = RetiredCases(pool / RETIRED_FILE, lambda name: [pool / f for f in known[name].files], grace_seconds)
    for index in indices:
        retired.retire(f"syn_{index:04d}")
    retired.sweep()


def rounds(pool: Path, *changes: Callable[[], None], plan: Callable[[], Preparation] | None = None) -> list[list[str]]:
    """Follows the pool, with a change of it after each round; which cases the set had after each that did something."""
    todo: Iterator[Callable[[], None]] = iter(changes)

    def wait() -> bool:
        change = next(todo, None)
        if change is not None:
            change()
        return change is None

    plan = plan or partial(plan_preparation, "700", pool, CONFIGURATION, fold=0, renewing=True)
    return [names(done.prepared) for done in follow_pool(pool, plan, wait)]


def names(prepared: PreparedSet) -> list[str]:
    """Numbers of its cases."""
    return [name.removeprefix("syn_000") for name in prepared.cases()]


def nothing() -> None:
    """No change."""


def test_new_cases_come_and_retired_ones_go(pool: Path) -> None:
    """A round without a change says nothing."""

    def renew() -> None:
        pools.write_pool_case(pool, 2, 1, ORIGIN)
        retire(pool, 0)

    assert rounds(pool, nothing, renew, nothing, partial(retire, pool, 1)) == [["0", "1"], ["1", "2"], ["2"]]


def test_files_of_retired_cases_stay_for_a_while(pool: Path) -> None:
    """A training may still read them."""
    rounds(pool, partial(retire, pool, 0))
    prepared = plan_preparation("700", pool, CONFIGURATION, fold=0, renewing=True).prepared
    assert (prepared.data_folder / "syn_0000.b2nd").exists()
    assert list(prepared.cases()) == ["syn_0001"]
    retired = prepared.retired()
    retired.grace_seconds = 0
    retired.sweep()
    assert {path.name.split(".")[0].removesuffix("_seg") for path in prepared.data_folder.iterdir()} == {"syn_0001"}


def test_it_waits_for_the_first_cases(project: Project, tmp_path: Path) -> None:
    """Both may be started at once."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)
    pool = pools.write_pool(tmp_path / "fresh", cases=0)
    assert rounds(pool, nothing, partial(pools.write_pool_case, pool, 0, 1, ORIGIN)) == [["0"]]
    assert rounds(pools.write_pool(tmp_path / "never", cases=0)) == []


def test_a_case_that_goes_while_it_is_prepared_is_no_fault(pool: Path) -> None:
    """Its files are gone; a case of the pool whose files are gone is one."""

    def plan() -> Preparation:
        preparation = plan_preparation("700", pool, CONFIGURATION, fold=0, renewing=True)
        retire(pool, 0)
        return preparation

    assert rounds(pool, nothing, plan=plan)[-1] == ["1"]
    pools.write_pool_case(pool, 5, 1, ORIGIN)
    (pool / "labels" / "syn_0005.nii.gz").unlink()
    with pytest.raises(PoolError, match="missing"):
        rounds(pool)


def test_a_following_set_keeps_its_identity_while_cases_change(pool: Path) -> None:
    """A training may go on with it; one that stands still is another when cases are added."""
    plan = partial(plan_preparation, "700", pool, CONFIGURATION, fold=0)
    rounds(pool)
    before = plan(renewing=True).prepared.hash()
    rounds(pool, partial(pools.write_pool_case, pool, 2, 1, ORIGIN))
    assert plan(renewing=True).prepared.hash() == before
    with pytest.raises(IncompatibleResume, match="renewing"):
        plan()
    prepare("700", pool, CONFIGURATION, fold=0, name="still")
    still = plan(name="still").prepared.hash()
    pools.write_pool_case(pool, 3, 1, ORIGIN)
    prepare("700", pool, CONFIGURATION, fold=0, name="still")
    assert plan(name="still").prepared.hash() != still
