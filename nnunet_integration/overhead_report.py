"""The verdict on what blending costs: ``blending.json``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import numpy as np

from lldm_aug.evaluation.goals import CHOICE_MICROSECONDS, HOOK_MILLISECONDS, OVERHEAD
from lldm_aug.machine import Machine
from lldm_aug.record import Record
from lldm_aug.report.criterion import Criterion, judge
from lldm_aug.version import __version__
from nnunet_integration.overhead import CASES, Overhead, hook_seconds, mixin_choice_seconds

FILE = "blending.json"


class BlendingResults(Record):
    """What the file holds.

    Args:
        lldm_aug_version: version that was measured.
        nnunetv2_version: nnU-Net's.
        dataset: name of the data set.
        fold: its fold.
        iterations: timed of each trainer and configuration.
        machine: that timings were taken on.
        criteria: every figure with its bound and verdict.
    """

    lldm_aug_version: str
    nnunetv2_version: str
    dataset: str
    fold: int | str
    iterations: int
    machine: Machine
    criteria: tuple[Criterion, ...]


def compile_results(
    dataset: str, fold: int | str, iterations: int, measured: Mapping[str, Overhead], machine: Machine
) -> BlendingResults:
    """Judges what was measured of each configuration; times here what does not depend on one."""
    criteria = [criterion for name, overhead in measured.items() for criterion in _criteria(name, overhead)]
    criteria.append(
        judge(f"choice of a SyntheticMixin, {CASES} cases [us]", CHOICE_MICROSECONDS, mixin_choice_seconds() * 1e6)
    )
    hook = hook_seconds()
    milliseconds, note = (None, "not installed here") if hook is None else (hook * 1e3, "")
    criteria.append(judge("start-up hook [ms]", HOOK_MILLISECONDS, milliseconds, note=note))
    return BlendingResults(
        lldm_aug_version=__version__,
        nnunetv2_version=version("nnunetv2"),
        dataset=dataset,
        fold=fold,
        iterations=iterations,
        machine=machine,
        criteria=tuple(criteria),
    )


def _criteria(name: str, overhead: Overhead) -> list[Criterion]:
    batch, low, high = overhead.batch_ratio()
    batches = {"low": low, "high": high, "stock_seconds": float(np.median(overhead.stock.batches))}
    iteration, low, high = overhead.iteration_ratio()
    iterations = {
        "low": low,
        "high": high,
        "stock_seconds": float(np.median(overhead.stock.iterations)),
        "seconds_between_epochs": overhead.between_epochs(),
    }
    choice = overhead.choice_seconds() * 1e6
    return [
        judge(f"{name}: time of a batch, ours / stock", OVERHEAD, batch, beside=batches),
        judge(f"{name}: time of an iteration, ours / stock", OVERHEAD, iteration, beside=iterations),
        judge(f"{name}: choice of a case, {CASES} cases [us]", CHOICE_MICROSECONDS, choice),
    ]
