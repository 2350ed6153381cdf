"""What a stage is built from: its own settings, the run's cases, and what earlier stages have left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lldm_aug.config.part import StageConfig
from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.training.export import Export, read_export
from lldm_aug.training.initial import Initial
from lldm_aug.training.latents import LatentCache, cache_latents
from lldm_aug.training.prepared_cases import CaseSet
from lldm_aug.training.preview import load_autoencoder
from lldm_aug.training.stage import AdversarialStage, Stage

if TYPE_CHECKING:
    from accelerate import Accelerator


AnyConfig = TypeVar("AnyConfig", bound=StageConfig[Any])


@dataclass(frozen=True)
class StageInputs:
    """What a run folder offers to one of its stages.

    Args:
        name: of the stage.
        section: its section of ``train``.
        config: all settings, with what they leave to the data; a stage takes its own part, see `own`.
        dataset: the real cases.
        cases: the same on the generator's grid: those of the fold that the stage may learn from.
        run: the run folder.
        folder: where the stage's command works.
        accelerator: processes and device.
        exports: folders of what the stages that this one needs have left, by name.
        models: folders of the models that lie in the one that it makes, if they are there by then, by their name in it.
        initial: generator to start from.
    """

    name: str
    section: str
    config: Config
    dataset: RawDataset
    cases: CaseSet
    run: Path
    folder: Path
    accelerator: Accelerator
    exports: Mapping[str, Path]
    models: Mapping[str, Path]
    initial: Initial | None = None

    def own(self, kind: type[AnyConfig]) -> AnyConfig:
        """The stage's own settings."""
        return kind.of(self.config, self.section)

    def export(self, stage: str) -> Export:
        """What an earlier stage has left.

        Raises:
            CheckpointError: when it is not finished.
        """
        return read_export(self.exports[stage], self.name)

    def latents(self, first: Export) -> LatentCache:
        """Latents of the cases, of the run's autoencoder.

        Raises:
            IncompatibleResume: when it was made with other sizes, or the run holds latents of others.
        """
        sizes = self.config.autoencoder
        first.require("autoencoder", sizes.model_dump(mode="json"))
        with self.accelerator.main_process_first():
            autoencoder = load_autoencoder(self.cases, sizes, first).to(self.accelerator.device)
            return cache_latents(self.cases, first, autoencoder, self.run / "latents")


class Trainer(Protocol):
    """A class of stages."""

    @classmethod
    def build(cls, inputs: StageInputs) -> Stage | AdversarialStage:
        """The stage of a run, ready to be trained."""
