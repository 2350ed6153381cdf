"""Training all methods, each stage once, in one run folder, for equal times.

Minutes on the clock are turned into steps once and for all.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from pydantic import Field

from lldm_aug.config.schema import Config
from lldm_aug.errors import IncompatibleResume
from lldm_aug.evaluation.baselines.baselines_plan import OURS, BaselinesPlan
from lldm_aug.io.atomic import atomic_folder, write_json
from lldm_aug.io.records import read_record
from lldm_aug.record import Record
from lldm_aug.stages.run import time_stage, train

if TYPE_CHECKING:
    from lldm_aug.training.loop import OnStep

BUDGET_FILE = "budget.json"
TIMED_STEPS = 6
SLOW_STEPS = 2
"""The first ones, which are not counted: caches and memory pools fill."""
TOLERANCE = 0.1
"""Of a method's time; more is told."""


class Budget(Record):
    """What ``budget.json`` holds.

    Args:
        seconds: of training for each method; None for as many steps as the settings say.
        autoencoder_share: of that time.
        steps: of each stage that was timed.
        seconds_per_step: by which these were found.
    """

    seconds: float | None
    autoencoder_share: float
    steps: dict[str, int] = Field(default_factory=dict)
    seconds_per_step: dict[str, float] = Field(default_factory=dict)


def open_budget(out: Path, seconds: float | None, autoencoder_share: float) -> Budget:
    """The budget of a report's folder, begun if there is none.

    Raises:
        IncompatibleResume: when the folder was begun with another.
        CheckpointError: when it cannot be read.
    """
    path, asked = out / BUDGET_FILE, Budget(seconds=seconds, autoencoder_share=autoencoder_share)
    if not path.exists():
        write_json(path, asked.model_dump(mode="json"))
        return asked
    found = read_record(Budget, path, fix="delete the folder to begin anew")
    if (found.seconds, found.autoencoder_share) != (asked.seconds, asked.autoencoder_share):
        raise IncompatibleResume(
            f"was begun with {_told(found)}, not {_told(asked)}", where=out, fix="use the same, or another --out"
        )
    return found


def settle(out: Path, budget: Budget, stage: str, seconds: float, measure: Callable[[int], list[float]]) -> Budget:
    """The budget with the steps of a stage: as many as fit into so many seconds; at least one.

    Args:
        out: the report's folder.
        budget: the folder's, so far.
        stage: whose steps.
        seconds: that it may take.
        measure: gives the seconds of so many first steps.
    """
    if stage in budget.steps:
        return budget
    each = mean(measure(SLOW_STEPS + TIMED_STEPS)[SLOW_STEPS:])
    settled = budget.model_copy(
        update={
            "steps": {**budget.steps, stage: max(1, round(seconds / each))},
            "seconds_per_step": {**budget.seconds_per_step, stage: each},
        }
    )
    write_json(out / BUDGET_FILE, settled.model_dump(mode="json"))
    return settled


def with_steps(config: Config, stage: str, steps: int) -> Config:
    """Settings with other steps of a stage; its warm-up is at most a tenth of them."""
    settings = getattr(config.train, stage)
    settings = settings.model_copy(update={"steps": steps, "warmup_steps": min(settings.warmup_steps, steps // 10)})
    return config.model_copy(update={"train": config.train.model_copy(update={stage: settings})})


def missed(given: float | None, taken: Mapping[str, float]) -> list[str]:
    """A note on methods whose training took over a tenth more, or less, time than it was given: compute was not equal.

    Args:
        given: seconds for each method; None if steps were given.
        taken: seconds by method.
    """
    if given is None:
        return []
    off = {name: seconds for name, seconds in taken.items() if abs(seconds / given - 1) > TOLERANCE}
    listed = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in off.items())
    note = f"compute was not equal, since the machine's speed changed after the first steps: {listed} of {given:.0f} s"
    return [note] if off else []


def _told(budget: Budget) -> str:
    if budget.seconds is None:
        return "the settings' steps"
    return f"{budget.seconds / 60:g} minutes, {budget.autoencoder_share:g} of them for the autoencoder"


RUN = "run"
KEPT = ("export", "run.json", "stats.jsonl")
"""Of a stage of a finished run."""
Progress = Callable[[int, str], None]
"""Is told the stages done, and what is going on."""


def count_training(plan: BaselinesPlan) -> int:
    """Stages that `train_methods` trains."""
    return len(stages_to_train(plan))


def train_methods(plan: BaselinesPlan, out: Path, progress: Progress) -> Path:
    """Trains what is not trained yet; returns the run folder.

    Raises:
        IncompatibleResume: when the folder was begun with other settings.
        LldmAugError: see `train`.
    """
    run = out / RUN
    if plan.model is not None:
        _adopt(plan.model, run)
    budget = open_budget(out, plan.seconds, plan.autoencoder_share)
    for number, stage in enumerate(stages_to_train(plan)):
        config, seconds = _last_weights(plan.config), plan.seconds_for(stage)
        if seconds is not None:
            measure = functools.partial(time_stage, stage, config, plan.dataset, plan.fold, run)
            budget = settle(out, budget, stage, seconds, measure)
            config = with_steps(config, stage, budget.steps[stage])
        train(stage, config, plan.dataset, plan.fold, run, on_step=_teller(progress, number, stage))
    return run


def _teller(progress: Progress, number: int, stage: str) -> OnStep:
    return lambda step, figures: progress(number, f"{stage}: step {step}, loss {figures['loss']:.4f}")


def stages_to_train(plan: BaselinesPlan) -> tuple[str, ...]:
    """The stages of all methods, each once; those of a finished run are not trained again."""
    every = dict.fromkeys(stage for method in plan.methods for stage in method.stages)
    return tuple(stage for stage in every if plan.model is None or stage not in OURS.stages)


def _last_weights(config: Config) -> Config:
    """No method's weights are chosen by a segmenter, which would have to be trained too; and no pictures on the way."""
    stages = {}
    for name in type(config.train).model_fields:
        if name != "precision":
            free = {"preview_every": 0, "score_every": 0} if name == "controlnet" else {"preview_every": 0}
            stages[name] = getattr(config.train, name).model_copy(update=free)
    return config.model_copy(update={"train": config.train.model_copy(update=stages)})


def _adopt(model: Path, run: Path) -> None:
    """Copies what later stages and the table need of a finished run; what is there already stays."""
    for stage in OURS.stages:
        if not (run / stage).exists():
            with atomic_folder(run / stage) as temporary:
                for name in KEPT:
                    _copy(model / stage / name, temporary / name)
    if not (run / "generator").exists():
        with atomic_folder(run / "generator") as temporary:
            shutil.copytree(model / "generator", temporary, dirs_exist_ok=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
