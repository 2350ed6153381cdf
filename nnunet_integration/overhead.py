"""What blending costs: nnU-Net's own loader and trainer against ours, in turns, in one run; and the verdict on it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.evaluation.goals import CHOICE_MICROSECONDS, HOOK_MILLISECONDS, OVERHEAD
from lldm_aug.machine import Machine
from lldm_aug.record import Record
from lldm_aug.report.criterion import Criterion, judge
from lldm_aug.seeds import numpy_rng
from lldm_aug.version import __version__
from nnunet_integration.loader import BlendedDataset
from nnunet_integration.target import Target
from nnunet_integration.trainer import nnUNetTrainerLLDMAug

CASES = 20_000
"""Size of the pool that cases are chosen from."""
_EPOCHS = 4
_CHOICES = 2000
_RESAMPLES = 2000
_Draws = tuple[Any, Any, torch.Tensor]
"""States of the global generators, from which nnU-Net draws."""

# Times our .pth file as the interpreter comes to it among the others: what the hook adds to the start of any Python.
_TIME_HOOK = """
import site, time
process, seconds = site.addpackage, []
def timed(folder, name, known):
    start = time.perf_counter()
    result = process(folder, name, known)
    if name == "lldm_aug_nnunet.pth":
        seconds.append(time.perf_counter() - start)
    return result
site.addpackage = timed
site.main()
print(*seconds)
"""


@dataclass
class Timed:
    """A trainer, and the seconds that its work took.

    Args:
        trainer: with its loaders made.
        batches: of making each batch.
        iterations: of making each batch and training with it.
        epochs: of what happens when an epoch begins and ends.
    """

    trainer: Any
    batches: list[float] = field(default_factory=list)
    iterations: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    _losses: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, trainer: type[nnUNetTrainer], target: Target, fold: int | str, device: str) -> Timed:
        """A new training, with one iteration done to warm up."""
        plans = {**target.plans.plans, "continue_training": False}
        made: Any = trainer(plans, target.configuration_name, fold, target.dataset_json, torch.device(device))
        made.on_train_start()
        made.on_train_epoch_start()
        made.train_step(next(made.dataloader_train))
        return cls(made)

    @property
    def loader(self) -> Any:
        """nnU-Net's loader itself."""
        return self.trainer.dataloader_train.data_loader

    def begin_epoch(self) -> None:
        """Begins to count another epoch."""
        start = time.perf_counter()
        self.trainer.on_train_epoch_start()
        self.epochs.append(time.perf_counter() - start)

    def end_epoch(self) -> None:
        """Ends it."""
        start = time.perf_counter()
        self.trainer.on_train_epoch_end(self._losses)
        self.epochs[-1] += time.perf_counter() - start
        self._losses = []
        self.trainer.current_epoch += 1

    def iterate(self, draws: _Draws) -> None:
        """One iteration; crops and transforms begin at these draws, for their cost depends on what is drawn."""
        choose = type(self.loader).get_indices

        def choose_and_rewind() -> Any:
            chosen = choose(self.loader)
            _rewind(draws)
            return chosen

        self.loader.get_indices = choose_and_rewind
        start = time.perf_counter()
        batch = next(self.trainer.dataloader_train)
        loaded = time.perf_counter()
        self._losses.append(self.trainer.train_step(batch))  # brings the loss to the CPU, hence waits for a GPU
        self.batches.append(loaded - start)
        self.iterations.append(time.perf_counter() - start)


@dataclass(frozen=True)
class Overhead:
    """What one configuration took.

    Args:
        stock: nnU-Net's trainer.
        ours: the blended one.
    """

    stock: Timed
    ours: Timed

    def batch_ratio(self) -> tuple[float, float, float]:
        """Ours over stock for making a batch: median of the pairs, and its 95 % bootstrap interval."""
        return _median_ratio(self.ours.batches, self.stock.batches)

    def iteration_ratio(self) -> tuple[float, float, float]:
        """The same for an iteration, with its share of what happens between epochs."""
        share = self.between_epochs() / self.ours.trainer.num_iterations_per_epoch
        return _median_ratio([seconds + share for seconds in self.ours.iterations], self.stock.iterations)

    def between_epochs(self) -> float:
        """Seconds that blending adds to an epoch's begin and end."""
        return float(np.median(self.ours.epochs) - np.median(self.stock.epochs))

    def choice_seconds(self) -> float:
        """Seconds for choosing one case from a pool of `CASES` in nnU-Net's loader; median."""
        loader, data = self.ours.loader, self.ours.loader._data
        many = SimpleNamespace(identifiers=[f"syn_{index:06d}" for index in range(CASES)])
        loader._data = BlendedDataset(data.real, many, data.blend)
        try:
            return _median_seconds(type(loader).get_indices, loader) / int(loader.batch_size)
        finally:
            loader._data = data


def measure(
    target: Target, fold: int | str, iterations: int, device: str, progress: Callable[[int], object]
) -> Overhead:
    """Trains a stock and a blended network in turns, in this process, with nnU-Net's single-threaded loaders.

    Loaders in the same process hide nothing behind the training. The trainers read nnU-Net's environment and write to
    its results: let ``nnUNet_n_proc_DA`` be 0, and ``nnUNet_results`` a folder to throw away.

    Args:
        target: preprocessed data set with a prepared pool.
        fold: fold that it was prepared for.
        iterations: how many to time of each.
        device: ``cpu`` or ``cuda``.
        progress: told how many are done.

    Raises:
        LldmAugError: as `nnUNetTrainerLLDMAug`.
    """
    stock = Timed.of(nnUNetTrainer, target, fold, device)
    ours = Timed.of(nnUNetTrainerLLDMAug, target, fold, device)
    for first, last in pairwise(np.linspace(0, iterations, _EPOCHS + 1).astype(int)):
        for timed in (stock, ours):
            timed.begin_epoch()
        for number in range(first, last):
            draws = _draws()
            for timed in (stock, ours) if number % 2 else (ours, stock):
                timed.iterate(draws)
            progress(number + 1)
        for timed in (ours, stock):
            timed.end_epoch()
    return Overhead(stock, ours)


def mixin_choice_seconds() -> float:
    """Seconds for deciding what one item of a `SyntheticMixin` is, with a pool of `CASES`; median."""
    pool: Any = range(CASES)  # cases are chosen, not read
    data = SyntheticMixin[str](range(_CHOICES), pool=pool, ratio=0.5, convert=str)
    items = iter(range(_CHOICES))
    return _median_seconds(lambda: data.draw(next(items)))


def hook_seconds(runs: int = 20) -> float | None:
    """Seconds that the start-up hook takes in each new interpreter, median; None where it is not installed."""
    command = (sys.executable, "-S", "-c", _TIME_HOOK)
    outputs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(runs)]
    if not all(outputs):
        return None
    return float(np.median([sum(map(float, output)) for output in outputs]))


def _draws() -> _Draws:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _rewind(draws: _Draws) -> None:
    python, numpy, torch_state = draws
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(torch_state)


def _median_seconds(work: Callable[..., object], *args: object) -> float:
    seconds = []
    for _ in range(_CHOICES):
        start = time.perf_counter()
        work(*args)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _median_ratio(ours: Sequence[float], stock: Sequence[float]) -> tuple[float, float, float]:
    ratios = np.asarray(ours) / np.asarray(stock)
    draws = numpy_rng("overhead bootstrap").choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


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
