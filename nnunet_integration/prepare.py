"""Preparing a pool for nnU-Net: its cases go through the real data set's preprocessing into a folder of their own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lldm_aug.blending.ratio import check_ratio
from lldm_aug.data.patients import PATIENTS_FILE
from lldm_aug.data.splits import Fold, Split, split_of
from lldm_aug.errors import ConfigError, DatasetError, LabelError, PoolError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.hashing import sha256_json
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.pool_dataset import PoolDataset, file_record
from lldm_aug.version import __version__
from nnunet_integration.cascade import PreviousStage
from nnunet_integration.prepared import ENDINGS, PreparedPair, PreparedSet, SetInfo
from nnunet_integration.target import Target, guard
from nnunet_integration.training_report import compare_with_real

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Preparation:
    """A pool, what it is prepared for, and what is left to do.

    Args:
        target: data set, plans and configuration.
        pool: the cases.
        prepared: where they go.
        info: description of the prepared set.
        split: training and validation cases of the fold.
        missing: the pool's cases that are not prepared yet, or have changed since.
        previous: what else a cascade needs.
    """

    target: Target
    pool: PoolDataset
    prepared: PreparedSet
    info: SetInfo
    split: Split
    missing: tuple[PoolCase, ...]
    previous: PreviousStage | None = None


def plan_preparation(
    dataset_name: str,
    pool: Path,
    configuration: str,
    *,
    plans: str = "nnUNetPlans",
    fold: Fold,
    ratio: float | None = None,
    name: str | None = None,
    previous_trainer: str | None = None,
    allow_leakage: bool = False,
    renewing: bool = False,
) -> Preparation:
    """Checks everything that can be checked beforehand, and writes nothing but a split that nnU-Net would make too.

    Args:
        dataset_name: the real data set: ``700``, ``Dataset700`` or its whole name.
        pool: the pool's folder.
        configuration: configuration of the plans, such as ``3d_fullres``.
        plans: name of the plans.
        fold: fold whose validation cases must not have leaked.
        ratio: share of synthetic cases unless a training is told otherwise; None leaves it to the trainer.
        name: name of the set; the pool's by default.
        previous_trainer: trainer of the previous stage, for cascades; nnUNetTrainerLLDMAug by default.
        allow_leakage: warn of leaked validation cases instead of refusing them.
        renewing: whether the pool renews itself.

    Raises:
        DatasetError: when data set, plans, configuration or fold are missing, or a cascade's previous stage is not
            trained yet.
        PoolError, LabelError: when the pool is damaged, or its labels or channels are not the data set's.
        LeakageError: when a validation case of the fold, or its patient, went into the generator, a mask or training.
        IncompatibleResume: when the set was begun with another pool, generator or preprocessing.
        ConfigError: when a pool that renews itself is asked for in a cascade.
    """
    target = Target.find(dataset_name, configuration, plans)
    source = PoolDataset(pool)
    check_agreement(source, target)
    patients = target.patients()
    split = split_of(target.real_cases(), target.folder / "splits_final.json", fold, patients=patients)
    origins = [case.mask for case in source.cases]
    leaks = guard(
        target, source.info.generator, origins, training=split.train, validation=split.val, allow=allow_leakage
    )
    info = SetInfo(
        lldm_aug_version=__version__,
        name=name or pool.resolve().name,
        dataset=target.name,
        fold=fold,
        data_identifier=target.data_identifier,
        ratio=None if ratio is None else check_ratio(ratio),
        preprocessing=target.preprocessing(),
        pool=source.info.settings_hash,
        generator=source.info.generator,
        leaks=tuple(map(str, leaks)),
        renewing=renewing,
    )
    prepared = PreparedSet.of(target, info.name, fold)
    prepared.check_resumes(info)
    previous = PreviousStage.of(target, prepared, fold, previous_trainer)
    if previous is not None and renewing:
        raise ConfigError(f"{configuration} is a cascade, which no pool that renews itself can feed", where="--follow")
    if previous is not None:
        previous.check_trained()
    return Preparation(target, source, prepared, info, split, _missing(source, prepared), previous)


def run_preparation(
    preparation: Preparation, *, num_processes: int = 1, progress: Progress = lambda done: None
) -> dict[str, object]:
    """Preprocesses what is missing, then compares with the real cases; returns the comparison.

    Args:
        preparation: what to do.
        num_processes: processes to preprocess with.
        progress: called with the number of cases that are done.
    """
    prepared = preparation.prepared
    begin(preparation)
    before = len(preparation.pool) - len(preparation.missing)
    for done, _ in enumerate(complete(preparation, num_processes), before + 1):
        progress(done)
    report = compare_with_real(preparation.target, preparation.split.train, prepared, preparation.pool)
    write_json(prepared.report_path, report)
    return report


def begin(preparation: Preparation) -> None:
    """Writes what the set is, and what a training on another machine needs to know of the patients."""
    patients = preparation.target.patients()
    if patients:
        write_json(preparation.target.folder / PATIENTS_FILE, patients)
    preparation.prepared.begin(preparation.info)


def complete(preparation: Preparation, num_processes: int) -> Iterator[PreparedPair]:
    """Preprocesses what is missing, and yields each case when it has been added to the set."""
    previous = preparation.previous
    for case in _preprocess_all(preparation, num_processes):
        if previous is not None:
            previous.forget(case.case_id)
        preparation.prepared.add(case)
        yield case
    if previous is not None:
        previous.make(preparation.pool)


def check_agreement(pool: PoolDataset, target: Target) -> None:
    """Refuses a pool whose channels, labels or file format are not those of the data set.

    Raises:
        PoolError: for other channels, or files that the plans' reader does not take.
        LabelError: for other labels.
    """
    where = pool.folder / "pool.json"
    ours, theirs = _channels(pool.info.dataset_json), _channels(target.dataset_json)
    if ours != theirs:
        raise PoolError(f"channels {ours}, but {target.name} has {theirs}", where=where)
    if pool.schema.names != target.schema.names:
        raise LabelError(f"labels {pool.schema.names}, but {target.name} has {target.schema.names}", where=where)
    ending = pool.info.dataset_json.get("file_ending")
    reader = target.plans.image_reader_writer_class
    if ending not in reader.supported_file_endings:
        raise PoolError(f"{reader.__name__}, the reader of the plans, does not take {ending} files", where=where)


def _channels(dataset_json: Mapping[str, Any]) -> list[str]:
    channels = dataset_json.get("channel_names", {})
    return [str(channels[key]) for key in sorted(channels, key=int)]


def _missing(pool: PoolDataset, prepared: PreparedSet) -> tuple[PoolCase, ...]:
    there = prepared.cases()
    return tuple(
        case
        for case in pool.cases
        if case.case_id not in there
        or there[case.case_id].source != _source_hash(case)
        or not prepared.is_whole(there[case.case_id])
    )


def _source_hash(case: PoolCase) -> str:
    return sha256_json({name: record.sha256 for name, record in case.files.items()})


@dataclass(frozen=True)
class _Task:
    pool: PoolDataset
    case: PoolCase
    target: Target
    data_folder: Path


def _preprocess_all(preparation: Preparation, num_processes: int) -> Iterator[PreparedPair]:
    tasks = [
        _Task(preparation.pool, case, preparation.target, preparation.prepared.data_folder)
        for case in preparation.missing
    ]
    if num_processes <= 1 or len(tasks) <= 1:
        yield from map(_preprocess, tasks)
        return
    # Threads of torch and blosc do not survive a fork.
    with ProcessPoolExecutor(min(num_processes, len(tasks)), mp_context=get_context("spawn")) as executor:
        for future in as_completed([executor.submit(_preprocess, task) for task in tasks]):
            yield future.result()


def _preprocess(task: _Task) -> PreparedPair:
    """Runs nnU-Net's preprocessing in a temporary folder beside the data folder, then moves the files in."""
    case = task.case
    task.pool.read(case)  # nnU-Net's readers take damaged files and wrong labels silently
    configuration = task.target.configuration
    temporary = task.data_folder.with_name(f".{case.case_id}.{uuid.uuid4().hex[:8]}.partial")
    temporary.mkdir()
    try:
        configuration.preprocessor_class(verbose=False).run_case_save(
            str(temporary / case.case_id),
            [str(path) for path in task.pool.image_paths(case)],
            str(task.pool.label_path(case)),
            task.target.plans,
            configuration,
            task.target.dataset_json,
        )
        names = [f"{case.case_id}{ending}" for ending in ENDINGS]
        files = {name: file_record(temporary / name) for name in names}
        _move(temporary, task.data_folder, names)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PreparedPair(case_id=case.case_id, mask=case.mask, source=_source_hash(case), files=files)


def _move(source: Path, target: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (source / name).is_file()]
    if missing:
        raise DatasetError(
            f"the preprocessor did not write {', '.join(missing)}", where=source, fix="use plans of nnU-Net >= 2.8"
        )
    for name in names:
        with (source / name).open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(source / name, target / name)
