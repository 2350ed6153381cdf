"""A training run on disk: one folder, a sub-folder a stage, the same command again goes on."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lldm_aug.config.schema import Config
from lldm_aug.data.conform import compression_for
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.share import LabelledShare
from lldm_aug.data.splits import Fold
from lldm_aug.errors import CheckpointError, ConfigError, IncompatibleResume
from lldm_aug.io.atomic import write_json
from lldm_aug.io.weights import check_sums
from lldm_aug.processes import PATIENCE, held_by_main
from lldm_aug.training.cases import CaseSet, prepare_cases
from lldm_aug.training.export import Export, read_export
from lldm_aug.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lldm_aug.training.faithfulness import MaskFaithfulness
    from lldm_aug.training.initial import Initial
    from lldm_aug.training.latents import LatentCache
    from lldm_aug.training.loop import OnStep
    from lldm_aug.training.stage import GameStage, Stage

STAGES = ("autoencoder", "diffusion", "controlnet")
"""Of a generator; each builds on the one before."""
BASELINES = ("baseline_gan", "baseline_pixel", "baseline_latent")
"""What generators are compared with; the last builds on the autoencoder of the same folder."""
PASSES = {"masks": ("masks_autoencoder", "masks_diffusion")}
"""Commands that train several networks, one after the other."""
LATENT: dict[str, Any] = {"autoencoder": True, "denoiser": True, "objective": True}
"""Sections of the settings that decide a model of latents."""
FREE = ("checkpoint_every", "keep_checkpoints", "preview_every", "log_every")
"""Settings that may change when a stage goes on: they do not touch its result."""
_EARLIER: dict[str, Any] = {"objective.shift": 1.0, "train.controlnet.inpainting": False} | {
    f"{section}{key}": value
    for section in ("objective.", "masks.objective.")
    for key, value in {"spread": 1.0, "detail": 0.15}.items()
}
"""Settings that runs of earlier versions do not name, and what these versions did."""


log = logging.getLogger(__name__)


def train(
    name: str,
    config: Config,
    dataset: RawDataset,
    fold: Fold,
    out: Path,
    *,
    labelled: LabelledShare | None = None,
    initial: Initial | None = None,
    log_with: Sequence[str] = (),
    on_step: OnStep = lambda step, figures: None,
) -> Path:
    """Trains one stage of a generator, or goes on with it.

    Args:
        name: one of `STAGES`, each of which builds on the one before in the same folder; or ``segmenter``, ``masks`` or
            one of `BASELINES`.
        config: all settings; those shared with earlier stages must be the same.
        dataset: real cases.
        fold: only this fold's training cases are ever read.
        out: the run folder; after the last stage ``out/generator`` holds the generator.
        labelled: share of the training cases whose masks may be used, the same for all stages of a run. Where it keeps
            the images of the others, all stages of a generator learn from them too.
        initial: generator to start from (fine-tuning), the same for all stages of a run.
        log_with: trackers of Accelerate, such as ``tensorboard``.
        on_step: called after each step with its number (passes count on) and figures.

    Returns:
        The folder that the finished stage left.

    Raises:
        FolderInUse: when another process trains this stage in this folder.
        LldmAugError: see `prepare_cases`, `read_export` and `train_stage`.
    """
    if initial is not None:
        if name not in STAGES:
            raise ConfigError(f"stage '{name}' always starts anew", where="--init", fix="leave it out for this stage")
        config = initial.sized(config)
    done = 0
    for part in PASSES.get(name, (name,)):
        _train(part, config, dataset, fold, out, labelled, initial, log_with, _counting_on(on_step, done))
        done += getattr(config.train, part).steps
    return _result(name, out)


def time_stage(name: str, config: Config, dataset: RawDataset, fold: Fold, out: Path, count: int) -> list[float]:
    """Seconds of each of the first steps of a stage, of which nothing is kept; arguments and errors as `train`."""
    from lldm_aug.training.loop import time_steps

    accelerator = _accelerator(config, (), _folder(name, out))
    cases = prepare_cases(dataset, fold, config, out / "cases")
    config = _resolved(config, cases)
    stage = _make_stage(name, config, dataset, cases, out, accelerator, None)
    return time_steps(stage, accelerator, config.seed, count)


def number_of_steps(name: str, config: Config) -> int:
    """Optimiser steps of a stage, all its passes together."""
    return sum(getattr(config.train, part).steps for part in PASSES.get(name, (name,)))


def _counting_on(on_step: OnStep, done: int) -> OnStep:
    return lambda step, figures: on_step(done + step, figures)


def _train(
    name: str,
    config: Config,
    dataset: RawDataset,
    fold: Fold,
    out: Path,
    labelled: LabelledShare | None,
    initial: Initial | None,
    log_with: Sequence[str],
    on_step: OnStep,
) -> None:
    """One network."""
    from lldm_aug.training.loop import train_stage

    folder = _folder(name, out)
    accelerator = _accelerator(config, log_with, folder)
    with held_by_main(folder, accelerator):
        with accelerator.main_process_first():
            cases = prepare_cases(dataset, fold, config, out / "cases", labelled)
            config = _resolved(config, cases)
            _begin(name, config, cases, folder, accelerator.num_processes, initial)
        if (folder / "export").is_dir() and _result(name, out).is_dir():
            return
        if log_with:
            accelerator.init_trackers("lldm_aug")
        stage = _make_stage(name, config, dataset, cases, out, accelerator, initial)
        train_stage(stage, accelerator, folder, config.seed, on_step)
        for tracker in accelerator.trackers:  # not end_training, which would part the processes before the next pass
            tracker.finish()


def _resolved(config: Config, cases: CaseSet) -> Config:
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


def _folder(name: str, out: Path) -> Path:
    """Where a stage works; the passes of one command share a folder."""
    for command, parts in PASSES.items():
        if name in parts:
            return out / command / name.removeprefix(f"{command}_")
    return out / name


def _result(name: str, out: Path) -> Path:
    """What a finished stage leaves."""
    if name == "masks_diffusion":
        name = "masks"  # the last pass leaves what the command was for
    return out / "generator" if name == STAGES[-1] else _folder(name, out) / "export"


def _accelerator(config: Config, log_with: Sequence[str], folder: Path) -> Accelerator:
    from accelerate import Accelerator, InitProcessGroupKwargs

    try:
        accelerator = Accelerator(
            mixed_precision=config.train.precision,
            log_with=list(log_with) or None,
            project_dir=folder,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except ValueError as error:  # an unknown tracker, or a precision that the device lacks
        raise ConfigError(str(error), where="--log-with, train.precision") from error
    found = {str(tracker) for tracker in accelerator.log_with}
    missing = sorted({*log_with} - {*found, "all"})
    if missing:
        raise ConfigError(f"no tracker {', '.join(missing)} is installed", where="--log-with", fix="pip install it")
    return accelerator


def _begin(name: str, config: Config, cases: CaseSet, folder: Path, processes: int, initial: Initial | None) -> None:
    """Writes ``run.json``, or refuses to go on with a stage that has got somewhere with other settings."""
    path = folder / "run.json"
    binding = _binding(name, config)
    if name == "controlnet" and config.train.controlnet.score_every and _segmenter(folder.parent).is_dir():
        binding["segmenter"] = check_sums(_segmenter(folder.parent))  # it chooses the weights
    if initial is not None:
        binding["initial"] = initial.hash
    if path.exists() and ((folder / "export").is_dir() or any((folder / "checkpoints").glob("step_*"))):
        before = {**{k: v for k, v in _EARLIER.items() if k in binding}, **_read_binding(path)}
        keys = sorted({*before, *binding})
        changed = [f"{k} {before.get(k)} -> {binding.get(k)}" for k in keys if before.get(k) != binding.get(k)]
        if changed:
            raise IncompatibleResume(
                f"was begun with other settings: {', '.join(changed)}",
                where=folder,
                fix="use the same settings, or another --out",
            )
        return
    record = {
        "lldm_aug": __version__,
        "python": platform.python_version(),
        "processes": processes,
        "stage": name,
        "dataset": cases.record.dataset,
        "fold": cases.record.fold,
        "cases": list(cases.case_ids),
        "binding": binding,
        "config": config.model_dump(mode="json"),
        "initial_stages": [stage.model_dump(mode="json") for stage in initial.stages] if initial else [],
    }
    write_json(path, record)


def _read_binding(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["binding"])
    except (ValueError, KeyError, TypeError) as error:
        fix = "delete the folder to begin the stage anew"
        raise CheckpointError("cannot be read", where=path, fix=fix) from error


def _binding(name: str, config: Config) -> dict[str, Any]:
    """The settings that decide a stage's result, by dotted name."""
    own: dict[str, dict[str, Any]] = {
        "autoencoder": {"autoencoder": True},
        "segmenter": {"segmenter": True},
        "masks_autoencoder": {"masks": {"autoencoder", "reach_mm", "examples", "deformation"}},
        "masks_diffusion": {"masks": True},
        "baseline_gan": {"baselines": {"gan", "texture"}},
        "baseline_pixel": {"baselines": {"pixel", "texture"}, "objective": True},
        "baseline_latent": {"baselines": {"texture"}, **LATENT},
    }
    sections = own.get(name, LATENT)
    tree: dict[str, Any] = config.model_dump(mode="json", include={"seed": True, **sections})
    for sampled in (tree.get("masks", {}), tree.get("baselines", {}).get("pixel", {})):
        sampled.pop("sampling", None)  # may change: it touches no weights
    tree["train"] = {
        "precision": config.train.precision,
        name: getattr(config.train, name).model_dump(mode="json", exclude=set(FREE)),
    }
    return _flat(tree)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return leaves


def _make_stage(
    name: str,
    config: Config,
    dataset: RawDataset,
    cases: CaseSet,
    out: Path,
    accelerator: Accelerator,
    initial: Initial | None,
) -> Stage | GameStage:
    import torch

    from lldm_aug.baselines.gan import GanBaseline
    from lldm_aug.baselines.latent import LatentBaseline
    from lldm_aug.baselines.pixel import PixelBaseline
    from lldm_aug.seeds import derive_seed
    from lldm_aug.training.autoencoder import AutoencoderStage
    from lldm_aug.training.controlnet import ControlNetStage
    from lldm_aug.training.diffusion import DiffusionStage
    from lldm_aug.training.masks import make_mask_stage
    from lldm_aug.training.segmenter import SegmenterStage

    with torch.random.fork_rng():  # initial weights: the one thing that torch draws from its global generator
        torch.manual_seed(derive_seed(config.seed, name, "initial weights"))
        if name == "autoencoder":
            return AutoencoderStage(cases, config, initial)
        if name == "segmenter":
            return SegmenterStage(cases.fully_annotated(), config)
        if name in PASSES["masks"]:
            return make_mask_stage(name, config, cases.fully_annotated(), out / "masks", accelerator)
        if name == "baseline_gan":
            return GanBaseline(cases, config)
        if name == "baseline_pixel":
            return PixelBaseline(cases, config)
        first = read_export(out / "autoencoder" / "export", name)
        first.require("autoencoder", config.autoencoder.model_dump(mode="json"))
        latents = _latents(config, cases, first, out, accelerator)
        if name == "baseline_latent":
            return LatentBaseline(cases, config, first, latents)
        if name == "diffusion":
            return DiffusionStage(cases, config, first, latents, initial)
        second = read_export(out / "diffusion" / "export", name)
        judge = _judge(config, dataset, cases, out, accelerator)
        return ControlNetStage(cases, config, first, second, latents, judge, initial)


def _judge(
    config: Config, dataset: RawDataset, cases: CaseSet, out: Path, accelerator: Accelerator
) -> MaskFaithfulness | None:
    """What chooses the weights of the third stage: the run's own segmenter, if it has one."""
    from lldm_aug.models.segmenter import Segmenter
    from lldm_aug.training.faithfulness import MaskFaithfulness

    if not config.train.controlnet.score_every:
        return None
    if not _segmenter(out).is_dir():
        log.warning("%s has no segmenter, so the last weights are exported; 'lldm-aug train segmenter' makes one", out)
        return None
    segmenter = Segmenter.load(_segmenter(out)).to(accelerator.device)
    if any(not seen.cases.items() <= cases.record.cases.items() for seen in segmenter.description.stages):
        raise IncompatibleResume(
            "was trained on cases that are not this fold's training cases, and may not choose this run's weights",
            where=_segmenter(out),
            fix="train one here with 'lldm-aug train segmenter'",
        )
    real_dice = {name: found.mean for name, found in segmenter.description.heldout_dice.items()}
    return MaskFaithfulness(dataset, cases, config, segmenter, real_dice)


def _segmenter(out: Path) -> Path:
    return out / "segmenter" / "export"


def _latents(config: Config, cases: CaseSet, first: Export, out: Path, accelerator: Accelerator) -> LatentCache:
    from lldm_aug.training.latents import cache_latents
    from lldm_aug.training.preview import load_autoencoder

    with accelerator.main_process_first():
        autoencoder = load_autoencoder(cases, config, first).to(accelerator.device)
        return cache_latents(cases, first, autoencoder, out / "latents")
