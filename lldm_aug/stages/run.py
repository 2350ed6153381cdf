"""A training run on disk: one folder, a sub-folder a stage, the same command again goes on."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lldm_aug.config.schema import Config
from lldm_aug.data.conform import compression_for
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, LabelFraction
from lldm_aug.errors import CheckpointError, ConfigError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.records import read_json, refuse_changes
from lldm_aug.io.weights import check_sums
from lldm_aug.processes import PATIENCE, held_by_main
from lldm_aug.stages.table import STAGES, StageSpec, stages_of
from lldm_aug.training.prepared_cases import CaseSet, prepare_cases
from lldm_aug.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lldm_aug.training.initial import Initial
    from lldm_aug.training.loop import OnStep
    from lldm_aug.training.stage import AdversarialStage, Stage

FREE = ("checkpoint_every", "keep_checkpoints", "preview_every", "log_every")
"""Settings that may change when a stage goes on: they do not touch its result."""
SAMPLING = "sampling"
"""A section that may change as well, wherever it is: it touches no weights."""
_EARLIER: dict[str, Any] = {"objective.shift": 1.0, "train.controlnet.inpainting": False} | {
    f"{section}{key}": value
    for section in ("objective.", "masks.objective.")
    for key, value in {"spread": 1.0, "detail": 0.15}.items()
}
"""Settings that runs of earlier versions do not name, and what these versions did."""


def train(
    command: str,
    config: Config,
    dataset: RawDataset,
    fold: Fold,
    out: Path,
    *,
    labelled: LabelFraction | None = None,
    initial: Initial | None = None,
    log_with: Sequence[str] = (),
    on_step: OnStep = lambda step, figures: None,
) -> Path:
    """Trains the stages of a command, or goes on with them.

    Args:
        command: one of `commands`, most of which are called like their only stage, or the name of a stage.
        config: all settings; those shared with earlier stages must be the same.
        dataset: real cases.
        fold: only this fold's training cases are ever read.
        out: the run folder; after the last stage of a generator ``out/generator`` holds it.
        labelled: share of the training cases whose masks may be used, the same for all stages of a run. Where it keeps
            the images of the others, all stages of a generator learn from them too.
        initial: generator to start from (fine-tuning), the same for all stages of a run.
        log_with: trackers of Accelerate, such as ``tensorboard``.
        on_step: called after each step with its number (those of several stages count on) and figures.

    Returns:
        The folder that the finished stage left.

    Raises:
        FolderInUse: when another process trains this stage in this folder.
        ConfigError: see `stages_of`.
        LldmAugError: see `prepare_cases`, `read_export` and `train_stage`.
    """
    from lldm_aug.training.loop import train_stage

    specs = stages_of(command)
    if initial is not None:
        if not all(spec.of_generator for spec in specs):
            raise ConfigError(f"stage '{command}' always starts anew", where="--init", fix="leave it out for it")
        config = initial.sized(config)
    done = 0
    for spec in specs:
        folder = spec.folder(out)
        accelerator = open_accelerator(config, log_with, folder)
        with held_by_main(folder, accelerator):
            with accelerator.main_process_first():
                cases = prepare_cases(dataset, fold, config, out / "cases", labelled)
                whole = resolved(config, cases)
                _begin(spec, whole, cases, out, accelerator.num_processes, initial)
            if not (spec.export(out).is_dir() and spec.result(out).is_dir()):
                if log_with:
                    accelerator.init_trackers("lldm_aug")
                stage = make_stage(spec, whole, dataset, cases, out, accelerator, initial)
                train_stage(stage, accelerator, folder, config.seed, _counting_on(on_step, done))
                for tracker in accelerator.trackers:  # not end_training, which would part the processes before the next
                    tracker.finish()
        done += spec.settings(config).steps
    return specs[-1].result(out)


def time_stage(name: str, config: Config, dataset: RawDataset, fold: Fold, out: Path, count: int) -> list[float]:
    """Seconds of each of the first steps of a stage, of which nothing is kept; arguments and errors as `train`."""
    from lldm_aug.training.loop import time_steps

    spec = STAGES[name]
    accelerator = open_accelerator(config, (), spec.folder(out))
    cases = prepare_cases(dataset, fold, config, out / "cases")
    stage = make_stage(spec, resolved(config, cases), dataset, cases, out, accelerator)
    return time_steps(stage, accelerator, config.seed, count)


def number_of_steps(command: str, config: Config) -> int:
    """Optimiser steps of a command, all its stages together."""
    return sum(spec.settings(config).steps for spec in stages_of(command))


def _counting_on(on_step: OnStep, done: int) -> OnStep:
    return lambda step, figures: on_step(done + step, figures)


def resolved(config: Config, cases: CaseSet) -> Config:
    """Settings with what they leave to the data."""
    record, masks = cases.record, config.masks
    cells = masks.autoencoder.compression or compression_for(record.spacing_mm)
    sizes = masks.autoencoder.resolved(cells, len(cases.schema.names))
    channels = len(record.dataset_json["channel_names"])
    return config.model_copy(
        update={
            "autoencoder": config.autoencoder.resolved(record.compression, channels),
            "masks": masks.model_copy(update={"autoencoder": sizes}),
        }
    )


def open_accelerator(config: Config, log_with: Sequence[str], folder: Path) -> Accelerator:
    """Processes, device, precision and trackers of a stage.

    Raises:
        ConfigError: for an unknown tracker, or a precision that the device lacks.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs

    try:
        accelerator = Accelerator(
            mixed_precision=config.train.precision,
            log_with=list(log_with) or None,
            project_dir=folder,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except ValueError as error:
        raise ConfigError(str(error), where="--log-with, train.precision") from error
    found = {str(tracker) for tracker in accelerator.log_with}
    missing = sorted({*log_with} - {*found, "all"})
    if missing:
        raise ConfigError(f"no tracker {', '.join(missing)} is installed", where="--log-with", fix="pip install it")
    return accelerator


def _begin(spec: StageSpec, config: Config, cases: CaseSet, out: Path, processes: int, initial: Initial | None) -> None:
    """Writes ``run.json``, or refuses to go on with a stage that has got somewhere with other settings."""
    folder = spec.folder(out)
    path, binding = folder / "run.json", _binding(spec, config)
    if spec.chosen_by and getattr(spec.settings(config), "score_every", None):
        judge = STAGES[spec.chosen_by].result(out)
        binding |= {spec.chosen_by: check_sums(judge)} if judge.is_dir() else {}
    if initial is not None:
        binding["initial"] = initial.hash
    if path.exists() and (spec.export(out).is_dir() or any((folder / "checkpoints").glob("step_*"))):
        fix = "delete the folder to begin the stage anew"
        before = read_json(path, fix=fix).get("binding")
        if not isinstance(before, dict):
            raise CheckpointError("does not say what the stage was begun with", where=path, fix=fix)
        return refuse_changes(folder, {**{k: v for k, v in _EARLIER.items() if k in binding}, **before}, binding)
    record = {
        "lldm_aug": __version__,
        "python": platform.python_version(),
        "processes": processes,
        "stage": spec.name,
        "dataset": cases.record.dataset,
        "fold": cases.record.fold,
        "cases": list(cases.case_ids),
        "binding": binding,
        "config": config.model_dump(mode="json"),
        "initial_stages": [stage.model_dump(mode="json") for stage in initial.stages] if initial else [],
    }
    return write_json(path, record)


def _binding(spec: StageSpec, config: Config) -> dict[str, Any]:
    """The settings that decide a stage's result, by dotted name."""
    own = f"train.{spec.section or spec.name}"
    free = {f"{own}.{name}" for name in FREE}
    found = {}
    for key, value in _flat(config.model_dump(mode="json")):
        bound = any(f"{key}.".startswith(f"{name}.") for name in ("seed", "train.precision", own, *spec.binds))
        if bound and key not in free and SAMPLING not in key.split("."):
            found[key] = value
    return found


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def make_stage(
    spec: StageSpec,
    config: Config,
    dataset: RawDataset,
    cases: CaseSet,
    out: Path,
    accelerator: Accelerator,
    initial: Initial | None = None,
) -> Stage | AdversarialStage:
    """A stage as it is at its beginning, by settings that are `resolved`; other arguments as of `train`.

    Raises:
        LldmAugError: when the run folder lacks an earlier stage, or the stage does not fit what is there.
    """
    import torch

    from lldm_aug.seeds import derive_seed
    from lldm_aug.training.inputs import StageInputs

    inputs = StageInputs(
        name=spec.name,
        section=spec.section or spec.name,
        config=config,
        dataset=dataset,
        cases=cases.fully_annotated() if spec.fully_annotated else cases,
        run=out,
        folder=spec.command_folder(out),
        accelerator=accelerator,
        exports={name: STAGES[name].export(out) for name in spec.needs},
        models={STAGES[name].command or name: STAGES[name].result(out) for name in spec.carries},
        initial=initial,
    )
    with torch.random.fork_rng():  # initial weights: the one thing that torch draws from its global generator
        torch.manual_seed(derive_seed(config.seed, spec.name, "initial weights"))
        return spec.load().build(inputs)
