"""The table of stages: all that the rest of the package knows of a stage. A new one is a class and an entry here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from lldm_aug.errors import ConfigError

if TYPE_CHECKING:
    from lldm_aug.config.schema import Config
    from lldm_aug.config.stages import StageSettings
    from lldm_aug.training.inputs import Trainer


@dataclass(frozen=True)
class StageSpec:
    """One network, or several, that are trained together.

    The settings of its optimisation say whether it is part of what makes a pool's images (`StageSettings.of_images`):
    pools and reports, which lie further down, have to know.

    Args:
        name: names its random numbers, its history in what is made with it, and its folder.
        trainer: ``module:class`` of what trains it, a `lldm_aug.training.inputs.Trainer`; imported when it is needed.
        binds: settings, or sections of them, that decide its result beside ``seed`` and its own of ``train``.
        needs: stages of the same run that must be finished.
        chosen_by: the stage whose model chooses the exported weights, if that is finished.
        carries: stages whose models lie in the folder that this one makes, if they are finished.
        of_generator: whether it is one of those that make a generator, which may start from another's weights.
        fully_annotated: whether it learns only from cases that lack no structure.
        command: what trains it, one stage after the other, where that is not called like the stage.
        section: its section of ``train``, where that is not called like the stage.
        makes: the folder that it leaves in the run folder, where that is not its ``export``.
    """

    name: str
    trainer: str
    binds: tuple[str, ...]
    needs: tuple[str, ...] = ()
    chosen_by: str | None = None
    carries: tuple[str, ...] = ()
    of_generator: bool = False
    fully_annotated: bool = False
    command: str = ""
    section: str = ""
    makes: str = ""

    def load(self) -> type[Trainer]:
        """The class that trains it."""
        found: type[Trainer] = resolve_name(self.trainer)
        return found

    def settings(self, config: Config) -> StageSettings:
        """Those of its optimisation."""
        found: StageSettings = getattr(config.train, self.section or self.name)
        return found

    def command_folder(self, run: Path) -> Path:
        """What it shares with the other stages of its command."""
        return run / (self.command or self.name)

    def folder(self, run: Path) -> Path:
        """Where it works in a run folder."""
        shared = self.command_folder(run)
        return shared / self.name.removeprefix(f"{self.command}_") if self.command else shared

    def export(self, run: Path) -> Path:
        """What it hands to later stages."""
        return self.folder(run) / "export"

    def result(self, run: Path) -> Path:
        """What it leaves for use."""
        return run / self.makes if self.makes else self.export(run)


_LATENT = ("autoencoder", "denoiser", "objective")
_BASELINE = ("baselines.texture",)
_MASKS = ("masks.autoencoder", "masks.reach_mm", "masks.examples", "masks.deformation")

_TABLE = (
    StageSpec("segmenter", "lldm_aug.training.segmenter_stage:SegmenterStage", ("segmenter",), fully_annotated=True),
    StageSpec(
        "autoencoder", "lldm_aug.training.autoencoder_stage:AutoencoderStage", ("autoencoder",), of_generator=True
    ),
    StageSpec(
        "diffusion", "lldm_aug.training.diffusion_stage:DiffusionStage", _LATENT, ("autoencoder",), of_generator=True
    ),
    StageSpec(
        "controlnet",
        "lldm_aug.training.controlnet:ControlNetStage",
        _LATENT,
        ("autoencoder", "diffusion"),
        of_generator=True,
        chosen_by="segmenter",
        carries=("segmenter", "masks_diffusion"),
        makes="generator",
    ),
    StageSpec(
        "masks_autoencoder",
        "lldm_aug.training.masks_autoencoder:MasksAutoencoderStage",
        _MASKS,
        fully_annotated=True,
        command="masks",
    ),
    StageSpec(
        "masks_diffusion",
        "lldm_aug.training.masks_diffusion:MasksDiffusionStage",
        ("masks",),
        ("masks_autoencoder",),
        fully_annotated=True,
        command="masks",
        makes="masks/export",
    ),
    StageSpec("baseline_gan", "lldm_aug.baselines.gan:GanBaseline", ("baselines.gan", *_BASELINE)),
    StageSpec(
        "baseline_pixel", "lldm_aug.baselines.concatenated:PixelBaseline", ("baselines.pixel", "objective", *_BASELINE)
    ),
    StageSpec(
        "baseline_latent", "lldm_aug.baselines.concatenated:LatentBaseline", (*_LATENT, *_BASELINE), ("autoencoder",)
    ),
)
STAGES = {spec.name: spec for spec in _TABLE}
GENERATOR_STAGES = tuple(spec.name for spec in _TABLE if spec.of_generator)
"""Each builds on the one before."""


def commands() -> dict[str, tuple[StageSpec, ...]]:
    """The stages that each command of ``lldm-aug train`` trains, one after the other."""
    found: dict[str, tuple[StageSpec, ...]] = {}
    for spec in STAGES.values():
        command = spec.command or spec.name
        found[command] = (*found.get(command, ()), spec)
    return found


def stages_of(name: str) -> tuple[StageSpec, ...]:
    """The stages of a command, or a single stage by its own name.

    Raises:
        ConfigError: for a name that is neither.
    """
    known = {stage: (spec,) for stage, spec in STAGES.items()} | commands()
    if name not in known:
        raise ConfigError(f"no stage {name!r}", fix=f"use one of {', '.join(known)}")
    return known[name]


def whole_generator() -> tuple[str, ...]:
    """The commands that make a generator, those first whose models choose its weights."""
    own = [STAGES[name] for name in GENERATOR_STAGES]
    return tuple(dict.fromkeys([*(spec.chosen_by for spec in own if spec.chosen_by), *GENERATOR_STAGES]))
