"""Trains one stage of the embedded generator for as many steps as its time allows."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from lldm_aug.config.load import load_config
from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.io.atomic import write_json
from lldm_aug.stages.run import time_stage, train

TIMED_STEPS = 16
"""Of which the second half counts: the first steps start kernels up."""
SHARE = 0.85
"""Of the time left that the steps are to fill; the rest is for scores, pictures and an estimate that was too quick."""
LEAST_STEPS = 10


def steps_within(seconds: float, seconds_a_step: float) -> int:
    """Steps that fit."""
    return max(LEAST_STEPS, int(SHARE * seconds / seconds_a_step))


def with_steps(config: Config, stage: str, steps: int) -> Config:
    """Settings in which a stage has so many steps; the ControlNet is scored at each third of them."""
    update: dict[str, int] = {"steps": steps, "checkpoint_every": max(1, steps // 4)}
    if stage == "controlnet":
        update["score_every"] = max(1, steps // 3)
    settings = getattr(config.train, stage).model_copy(update=update)
    return config.model_copy(update={"train": config.train.model_copy(update={stage: settings})})


def chosen_steps(stage: str, config: Config, data: RawDataset, run: Path, end: float) -> int:
    """Steps of a stage: those that an earlier call chose, or those that fit until ``end`` on the monotonic clock."""
    path = run / f"steps_{stage}.json"
    if path.exists():
        return int(json.loads(path.read_text(encoding="utf-8"))["steps"])
    taken = time_stage(stage, config, data, "all", run, TIMED_STEPS)
    usual = statistics.median(taken[TIMED_STEPS // 2 :])
    steps = steps_within(end - time.monotonic(), usual)
    write_json(path, {"steps": steps, "seconds_a_step": usual})
    return steps


def main() -> None:
    """Trains the stage; called again, goes on with it."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    limit = "time that there is; the steps of the settings if left out"
    parser.add_argument("--seconds", type=float, default=None, help=limit)
    arguments = parser.parse_args()
    config, data = load_config(arguments.config, tuple(arguments.overrides)), RawDataset(arguments.data)
    if arguments.seconds is not None:
        end = began + arguments.seconds
        config = with_steps(config, arguments.stage, chosen_steps(arguments.stage, config, data, arguments.run, end))
    result = train(arguments.stage, config, data, "all", arguments.run)
    steps = getattr(config.train, arguments.stage).steps
    print(f"{arguments.stage}: {steps} steps, {time.monotonic() - began:.0f} s: {result}")


if __name__ == "__main__":
    main()
