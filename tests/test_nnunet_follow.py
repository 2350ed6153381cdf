"""A prepared set that follows a pool whose cases come and go."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pools
import pytest
from nnunet_project import CONFIGURATION, NAME, Project, keys, make, prepare, record
from tiny import tiny_config, tiny_generator

from lldm_aug.blending.leakage import LeakageWarning
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import IncompatibleResume, LeakageError, PoolError
from lldm_aug.pool.manifest import MaskOrigin, read_manifest
from lldm_aug.pool.retired import RETIRED_FILE, RetiredCases
from nnunet_integration.follow import follow_pool
from nnunet_integration.prepare import Preparation, plan_preparation
from nnunet_integration.prepared import PreparedSet

ORIGIN = MaskOrigin(kind="procedural")


@pytest.fixture
def clean(project: Project) -> Project:
    """The project without prepared sets."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)
    return project


@pytest.fixture
def pool(clean: Project, tmp_path: Path) -> Path:
    """Two cases, and no prepared sets."""
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
    prepared.retired(grace_seconds=0).sweep()
    assert {path.name.split(".")[0].removesuffix("_seg") for path in prepared.data_folder.iterdir()} == {"syn_0001"}


def test_it_waits_for_the_first_cases(clean: Project, tmp_path: Path) -> None:
    """Both may be started at once."""
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


def test_a_pool_that_is_faster_than_the_preparation_leaves_cases_to_train_with(pool: Path) -> None:
    """All cases went while they were prepared; they stay until others take their places."""
    replaced = iter([2, 3])

    def plan() -> Preparation:
        preparation = plan_preparation("700", pool, CONFIGURATION, fold=0, renewing=True)
        for index in replaced:
            pools.write_pool_case(pool, index, 1, ORIGIN)
            retire(pool, index - 2, grace_seconds=60)
        return preparation

    assert rounds(pool, nothing, plan=plan) == [["0", "1"], ["2", "3"]]


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


@pytest.fixture
def quick(clean: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Settings for trainings of seconds, with a worker that runs on from epoch to epoch."""
    shutil.rmtree(clean.root / "nnUNet_results" / NAME, ignore_errors=True)
    for name, value in {"EPOCHS": 1, "ITERATIONS": 4, "VAL_ITERATIONS": 1, "RATIO": 1, "SET": "fresh"}.items():
        monkeypatch.setenv(f"LLDM_AUG_{name}", str(value))
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    return clean


def drawn_after_the_queue(trainer: object, epoch: int) -> set[str]:
    """Numbers of the cases that a running worker draws in an epoch."""
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    keys(trainer.dataloader_train, 20)
    return {key.removeprefix("lldm_aug/syn_000") for key in keys(trainer.dataloader_train, 20)}


def test_a_running_training_takes_new_cases_and_lets_old_ones_go(pool: Path, quick: Project) -> None:
    """At its next epoch, also in a worker that was started before; a case whose files are gone is replaced."""
    rounds(pool)
    trainer = make()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    try:
        assert drawn_after_the_queue(trainer, 0) == {"0", "1"}
        pools.write_pool_case(pool, 2, 1, ORIGIN)
        rounds(pool, partial(retire, pool, 0))
        assert drawn_after_the_queue(trainer, 1) == {"1", "2"}
        prepared = plan_preparation("700", pool, CONFIGURATION, fold=0, renewing=True).prepared
        for path in prepared.data_folder.glob("syn_0001*"):
            path.unlink()
        assert keys(trainer.dataloader_train, 20)
    finally:
        trainer.dataloader_train._finish()
        trainer.dataloader_val._finish()


def test_a_case_that_is_just_being_removed_is_replaced(pool: Path, quick: Project) -> None:
    """Some of its files may still be there; when nothing is left, that is said."""
    rounds(pool)
    training, _ = make().get_tr_and_val_datasets()
    folder = plan_preparation("700", pool, CONFIGURATION, fold=0, renewing=True).prepared.data_folder
    expected = training.load_case("lldm_aug/syn_0001")[0][:]
    (folder / "syn_0000.b2nd").unlink()
    assert (training.load_case("lldm_aug/syn_0000")[0][:] == expected).all()
    (folder / "syn_0001.pkl").unlink()
    with pytest.raises(PoolError, match="syn_0000"):
        training.load_case("lldm_aug/syn_0000")


def test_new_cases_pass_the_guard(pool: Path, quick: Project) -> None:
    """A mask of a validation case stops the training at the epoch in which it would be drawn."""
    rounds(pool)
    trainer = make()
    trainer.get_tr_and_val_datasets()
    trainer.on_train_epoch_start()
    leaked = MaskOrigin(kind="real", source_dataset=NAME, source_case=quick.splits[0]["val"][0])
    pools.write_pool_case(pool, 3, 1, leaked)
    plan = partial(plan_preparation, "700", pool, CONFIGURATION, fold=0, renewing=True, allow_leakage=True)
    with pytest.warns(LeakageWarning):
        rounds(pool, plan=plan)
    with pytest.raises(LeakageError, match="masks saw"):
        trainer.on_train_epoch_start()


def test_going_on_counts_on(pool: Path, quick: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewed set is the same set; what was seen before the interruption stays seen."""
    rounds(pool)
    first = make()
    first.run_training()
    assert record(first)["epochs"][0]["seen"] == 2
    pools.write_pool_case(pool, 2, 1, ORIGIN)
    rounds(pool, partial(retire, pool, 0, 1))
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "2")
    again = make()
    again.load_checkpoint(str(Path(first.output_folder, "checkpoint_final.pth")))
    again.run_training()
    assert [epoch["seen"] for epoch in record(again)["epochs"]] == [2, 3]


@pytest.mark.slow
def test_generator_preparation_and_training_run_side_by_side(
    quick: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands as users start them; the training sees more cases with each epoch than the pool ever holds."""
    monkeypatch.setenv("LLDM_AUG_EPOCHS", "6")
    monkeypatch.setenv("LLDM_AUG_ITERATIONS", "40")
    dataset = RawDataset(quick.root / "nnUNet_raw" / NAME)
    run = tiny_generator(dataset, tmp_path / "run", tiny_config(steps=2))
    pool = tmp_path / "fresh"
    pool.mkdir()
    generate = ["generate", "--n", "3", "--out", pool, "--model", run, "--data", dataset.folder, "--fold", "0"]
    commands = [[*generate, "--follow"], ["nnunet", "prepare", "-d", "700", "--pool", pool, "--follow", "--every", "1"]]
    lldm_aug = [sys.executable, "-m", "lldm_aug"]
    processes = [subprocess.Popen([*lldm_aug, *map(str, command)], env=dict(os.environ)) for command in commands]
    try:
        sets = quick.preprocessed / "lldm_aug" / "fresh" / "fold_0"
        end = time.monotonic() + 200
        while not (sets / "nnUNetPlans_3d_fullres.jsonl").exists():
            assert time.monotonic() < end
            assert all(process.poll() is None for process in processes)
            time.sleep(0.5)
        trainer = make()
        trainer.run_training()
        assert all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=120) for process in processes]
    assert codes == [0, 0]
    seen = [epoch["seen"] for epoch in record(trainer)["epochs"]]
    assert seen == sorted(seen)
    assert seen[-1] > 3
