"""Equal compute: minutes on the clock, turned into steps once and for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean

from pydantic import Field, ValidationError

from lldm_aug.config.schema import Config
from lldm_aug.errors import CheckpointError, IncompatibleResume
from lldm_aug.io.atomic import write_json
from lldm_aug.record import Record

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
    try:
        found = Budget.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError("cannot be read", where=path, fix="delete the folder to begin anew") from error
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
