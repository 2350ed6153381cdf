"""Does fine-tuning from a generator reach a mask consistency in fewer steps than training from scratch?

Both runs have the same cases, networks' sizes, settings, seed and segmenter; they differ in their first weights alone.
mask consistency is that of the score curves (see `lldm_aug.training.mask_consistency`). From the root of the
repository:

    python tests/benchmarks/finetuning.py --data ../shared/data/Dataset801_ChaosT2 --out /tmp/finetuning

About 15 minutes on two free cores with the default steps. Run again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from lldm_aug.config.load import load_config
from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.io.atomic import read_json_lines
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.training.initial import Initial

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the best score of the run from scratch."""


def settings(arguments: argparse.Namespace, initial: Initial) -> Config:
    """The same for both runs."""
    rate, shape = arguments.learning_rate, arguments.shape
    stages = {
        "segmenter": (arguments.segmenter_steps, 2, 2e-3, {"patch": [64, 64, shape[2]]}),
        "autoencoder": (arguments.autoencoder_steps, 2, rate, {"patch": [48, 48, shape[2]], "preview_every": 0}),
        "diffusion": (arguments.diffusion_steps, 4, rate, {"preview_every": 0}),
        "controlnet": (arguments.steps, 4, rate, {"preview_every": 0, "score_every": arguments.score_every}),
    }
    overrides = [f"grid.shape={list(shape)}", "train.controlnet.score_cases=4"]
    for name, (steps, batch, peak, more) in stages.items():
        values = {"steps": steps, "batch_size": batch, "learning_rate": peak, "warmup_steps": 20, "ema_decay": 0.98}
        overrides += [f"train.{name}.{key}={value}" for key, value in {**values, **more}.items()]
    return initial.sized(load_config(None, overrides))


def scores(run: Path) -> dict[int, dict[str, float]]:
    """The score curve of a run, by step."""
    return {line["step"]: line for line in read_json_lines(run / "controlnet" / "scores.jsonl")}


def first_step(curve: dict[int, dict[str, float]], level: float) -> str:
    """The first step at or above a score."""
    return next((str(step) for step, line in sorted(curve.items()) if line["score"] >= level), "not reached")


def show(curves: dict[str, dict[int, dict[str, float]]]) -> None:
    """Both curves, and when each first reached a level."""
    print("step        " + "".join(f"{name:>24}" for name in curves) + "   (score, with mask)")
    for step in sorted(curves["scratch"]):
        cells = (f"{c[step]['score']:.3f} {c[step]['score_with_mask']:.3f}" for c in curves.values())
        print(f"{step:<12}" + "".join(f"{cell:>24}" for cell in cells))
    best = max(line["score"] for line in curves["scratch"].values())
    print(f"\nsteps to a share of the best score from scratch ({best:.3f})")
    for level in LEVELS:
        print(f"{level:<12.0%}" + "".join(f"{first_step(curve, level * best):>24}" for curve in curves.values()))


def main() -> None:
    """Trains both runs and prints their curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", default="pretrained")
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 32))
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--segmenter-steps", type=int, default=400)
    parser.add_argument("--autoencoder-steps", type=int, default=300)
    parser.add_argument("--diffusion-steps", type=int, default=50)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--score-every", type=int, default=25)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"skipped: there is no {arguments.data}")
        return
    initial = Initial.load(arguments.init)
    config, dataset = settings(arguments, initial), RawDataset(arguments.data)
    runs = {"scratch": None, "fine-tuned": initial}
    judge = arguments.out / "scratch"
    train("segmenter", config, dataset, arguments.fold, judge)
    for name, start in runs.items():
        run = arguments.out / name
        if not (run / "segmenter").is_dir():
            shutil.copytree(judge / "segmenter", run / "segmenter")
        for stage in GENERATOR_STAGES:
            train(stage, config, dataset, arguments.fold, run, initial=start)
            print(f"{name}: {stage} done", flush=True)
    show({name: scores(arguments.out / name) for name in runs})


if __name__ == "__main__":
    main()
