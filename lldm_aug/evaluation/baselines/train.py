"""Training all methods, each stage once, in one run folder."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.config.schema import Config
from lldm_aug.evaluation.baselines.budget import open_budget, settle, with_steps
from lldm_aug.evaluation.baselines.plan import OURS, BaselinesPlan
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.stages.run import time_stage, train

if TYPE_CHECKING:
    from lldm_aug.training.loop import OnStep

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
