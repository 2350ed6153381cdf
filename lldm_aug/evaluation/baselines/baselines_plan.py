"""What ``lldm-aug evaluate baselines`` is to do: resolved and refused before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.config.load import load_config, with_overrides
from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, load_split
from lldm_aug.errors import CheckpointError, ConfigError, IncompatibleResume, LabelError
from lldm_aug.evaluation.comparison import count_cases
from lldm_aug.evaluation.heldout import HeldOut, choose_heldout, heldout_notes, refuse_seen
from lldm_aug.evaluation.measure.segmentation import open_segmenter
from lldm_aug.models.description import Description
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter
from lldm_aug.training.checkpoint import trained_seconds

if TYPE_CHECKING:
    from lldm_aug.models.image_model import ImageModel

DIFFUSION_SHARE = 0.03
"""Of our time that goes to the denoiser alone: the ControlNet's stage trains it on."""


@dataclass(frozen=True)
class Method:
    """One way to make images for masks.

    Args:
        name: in tables and folders.
        title: what it is.
        stages: what is trained for it, in order; all methods share a run folder.
    """

    name: str
    title: str
    stages: tuple[str, ...]

    def load(self, run: Path) -> tuple[ImageModel, int]:
        """The trained model in a run folder, and the number of weights that make an image."""
        from lldm_aug.baselines.model import Baseline
        from lldm_aug.models.generator import Generator

        if self.stages == GENERATOR_STAGES:
            generator = Generator.load(run / "generator")
            return generator, sum(p.numel() for m in (generator.autoencoder, generator.network) for p in m.parameters())
        baseline = Baseline.load(run / self.stages[-1] / "export")
        return baseline, sum(p.numel() for p in baseline.image_network.parameters())


OURS = Method("ours", "latent diffusion with ControlNet", GENERATOR_STAGES)
BASELINES = (
    Method("gan", "3D alpha-GAN conditioned on the mask (arXiv 1908.02498)", ("baseline_gan",)),
    Method("pixel", "diffusion of voxels, mask concatenated (arXiv 2305.18453)", ("baseline_pixel",)),
    Method("latent", "latent diffusion, mask concatenated, no ControlNet", ("autoencoder", "baseline_latent")),
)
METHODS = {method.name: method for method in (OURS, *BASELINES)}


@dataclass(frozen=True)
class BaselinesPlan:
    """A resolved comparison.

    Args:
        config: of all methods; steps count where there is no time.
        dataset: real cases.
        fold: whose training cases all methods are trained on.
        training_cases: these.
        heldout: real cases that lend their masks, and those to compare with.
        methods: the rows.
        seconds: of training for each method; None for as many steps as the settings say.
        autoencoder_share: of that time, for the methods that have an autoencoder.
        model: finished run of ours to compare with; None trains one.
        segmenter: the evaluation segmenter; None leaves mask consistency out.
        seed: of the generated images.
        notes: what has to be known, in words.
    """

    config: Config
    dataset: RawDataset
    fold: Fold
    training_cases: tuple[str, ...]
    heldout: HeldOut
    methods: tuple[Method, ...]
    seconds: float | None
    autoencoder_share: float
    model: Path | None
    segmenter: EvaluationSegmenter | None
    seed: int
    notes: tuple[str, ...]

    @property
    def terms(self) -> str:
        """On what terms the methods are compared, in words."""
        if self.seconds is None:
            return "methods were trained for the settings' steps, not for equal times: compare their seconds"
        return (
            f"each method was given {self.seconds / 60:g} minutes on one machine, the autoencoder's "
            f"{self.autoencoder_share:.0%} counted for each method that has one; steps were set by the time of the "
            "first ones. Preparing cases, encoding latents once, and exports are not counted"
        )

    @property
    def steps(self) -> int:
        """Steps that `run_baselines` reports."""
        heldout, pools, n = self.heldout, len(self.methods), len(self.heldout.masks)
        return pools * n + count_cases(pools, n, heldout.masks, heldout.others, self.training_cases)

    def seconds_for(self, stage: str) -> float | None:
        """The part of a method's time that a stage has."""
        if self.seconds is None:
            return None
        share = self.autoencoder_share
        shares = {"autoencoder": share, "diffusion": DIFFUSION_SHARE, "controlnet": 1 - share - DIFFUSION_SHARE}
        if stage != "baseline_latent":
            return self.seconds * shares.get(stage, 1.0)
        if self.model is None:
            return self.seconds * (1 - share)
        return max(0.0, self.seconds - trained_seconds(self.model / "autoencoder"))


def plan_baselines(
    *,
    data: str,
    fold: Fold,
    heldout: str | None,
    n: int,
    model: Path | None,
    segmenter: Path | None,
    minutes: float | None,
    autoencoder_share: float,
    config: str | None,
    overrides: Sequence[str],
    methods: Sequence[str],
    seed: int,
    device: str = "cpu",
) -> BaselinesPlan:
    """Finds everything and fills in what was left open.

    Args:
        data: data set to train on.
        fold: its fold: training cases train, and validation cases are held out unless `heldout` names others.
        heldout: another data set, all of whose cases are held out.
        n: masks to generate for, and as many other cases to compare with.
        model: run folder of a finished generator, if ours need not be trained.
        segmenter: folder of the evaluation segmenter; None for that of `model`, if it has one.
        minutes: of training for each method; None for those of `model`, or else for the settings' steps.
        autoencoder_share: of the minutes.
        config: preset or file; None for the defaults, or the settings of `model`.
        overrides: ``a.b=c`` each.
        methods: names of rows beside ours.
        seed: of the generated images.
        device: where the segmenter runs.

    Raises:
        DatasetError, LabelError: when data are missing or do not fit each other, or the segmenter does not fit them.
        LeakageError: when a held-out case is a training case, or a patient's other scan, or the segmenter has seen one.
        CheckpointError, ConfigError, IncompatibleResume: when `model` is no finished run of this data set and fold, or
            there is no segmenter in its folder.
    """
    dataset = RawDataset.find(data)
    other = dataset if heldout is None else RawDataset.find(heldout)
    if other.schema != dataset.schema or len(other.channel_names) != len(dataset.channel_names):
        raise LabelError("has other structures or channels than the training data", where=other.folder)
    chosen = choose_heldout(other, fold if heldout is None else None, n)
    split = load_split(dataset, fold)
    seen = {case_id: dataset.label_hash(case_id) for case_id in split.train}
    stage = StageProvenance(stage="training", dataset=dataset.name, fold=fold, split_hash=split.hash, cases=seen)
    refuse_seen(chosen, (stage,), f"fold {fold}", dataset.folder)
    notes = heldout_notes(chosen)
    settings = load_config(config, overrides) if model is None else _settings_of(model, config, overrides)
    if model is not None:
        _check_model(model, stage)
        minutes = minutes if minutes is not None else sum(trained_seconds(model / s) for s in OURS.stages) / 60
        notes.append(f"ours is a finished run ({model.name}), timed when and where it was trained")
    opened = open_segmenter(segmenter, model, dataset.schema, len(dataset.channel_names), device, chosen)
    if opened is None:
        notes.append("mask consistency was not measured: no --segmenter, such as a run of 'lldm-aug train segmenter'")
    return BaselinesPlan(
        config=settings,
        dataset=dataset,
        fold=fold,
        training_cases=split.train,
        heldout=chosen,
        methods=(OURS, *(METHODS[name] for name in methods)),
        seconds=None if minutes is None else 60 * minutes,
        autoencoder_share=autoencoder_share,
        model=model,
        segmenter=opened,
        seed=seed,
        notes=tuple(notes),
    )


def _settings_of(model: Path, config: str | None, overrides: Sequence[str]) -> Config:
    """The settings that a run was trained with."""
    if config is not None:
        raise ConfigError("a finished run has settings of its own", where="--config", fix="leave it out, or --model")
    path = model / OURS.stages[-1] / "run.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["config"]
        return with_overrides(Config.model_validate(told), overrides)
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "give the run folder, with all stages finished"
        raise CheckpointError("no settings of a finished run", where=path, fix=fix) from error


def _check_model(model: Path, stage: StageProvenance) -> None:
    """Raises IncompatibleResume unless a run is of these training cases."""
    if not (model / "autoencoder" / "export").is_dir():
        raise CheckpointError("no autoencoder/export", where=model, fix="give the run folder, not the generator's")
    for found in Description.read(model / "generator").stages:
        if found.cases != stage.cases:
            raise IncompatibleResume(
                f"stage {found.stage} was trained on other cases than those of {stage.dataset}, fold {stage.fold}",
                where=model,
                fix="give the data set and fold that it was trained on",
            )
