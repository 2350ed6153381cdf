"""Fine-tuning: a generator whose weights a run starts from, whatever its own data's labels, channels and spacing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel
from torch import nn

from lldm_aug.config.schema import Config, check_sampling
from lldm_aug.errors import ConfigError
from lldm_aug.models.adapt import Layout, Weights, adapt_autoencoder, adapt_control, adapt_shortcut, grow_outputs
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.config_file import generator_folder
from lldm_aug.models.denoiser import MaskControl
from lldm_aug.models.generator import Generator
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.resources import pretrained_dir
from lldm_aug.training.prepared_cases import CaseSet

EMBEDDED = "pretrained"
SECTIONS = ("autoencoder", "denoiser", "objective")
OWN = ("compression",)
"""Of these sections, what the new data decide for themselves."""
ASKED = ("shift", "spread")
"""Of these sections, what may be asked for: at which times a network is trained says nothing of its outputs."""
GROWN = ("kind", "detail")
"""The same where an objective of kind ``skip`` is to start from ``clean`` weights, or from ``skip`` with other detail:
under much noise they agree on what a network has to say."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Initial:
    """A finished generator to start from.

    Args:
        generator: its weights and description.
    """

    generator: Generator

    @classmethod
    def load(cls, source: str) -> Initial:
        """The embedded generator for ``pretrained``, else that of a generator or run folder.

        Raises:
            CheckpointError: when there is none, or it is damaged.
        """
        return cls(Generator.load(generator_folder(pretrained_dir() if source == EMBEDDED else Path(source))))

    @property
    def hash(self) -> str:
        """Identity of the generator."""
        return self.generator.hash

    @property
    def stages(self) -> tuple[StageProvenance, ...]:
        """What it has seen: a generator that starts from it has seen this too."""
        return self.generator.description.stages

    def sized(self, config: Config) -> Config:
        """Settings with this generator's sizes of networks and objective, and of its sampling what they don't set.

        Raises:
            ConfigError: when the settings ask for others, or for a solver that cannot sample this objective.
        """
        sections = {name: self._sized(name, getattr(config, name)) for name in SECTIONS}
        set_here = {key: getattr(config.sampling, key) for key in config.sampling.model_fields_set}
        sections["sampling"] = self.generator.description.sampling.model_copy(update=set_here)
        sized = config.model_copy(update=sections)
        try:
            check_sampling(sized.objective, sized.sampling)
        except ValueError as error:
            fix = "choose a solver for the initial generator's objective"
            raise ConfigError(str(error), where="--init", fix=fix) from error
        return sized

    def _sized(self, name: str, wanted: BaseModel) -> BaseModel:
        here: BaseModel = getattr(self.generator.description, name)
        grown = getattr(here, "kind", None) in ("clean", "skip") and getattr(wanted, "kind", None) == "skip"
        asked = {*ASKED, *GROWN} if grown else {*ASKED}
        own = {*OWN} & type(wanted).model_fields.keys() | asked & wanted.model_fields_set
        for key in sorted(wanted.model_fields_set - own):
            if getattr(wanted, key) != getattr(here, key):
                raise ConfigError(
                    f"{name}.{key} is {getattr(wanted, key)}, but {getattr(here, key)} in the initial generator",
                    where="--init",
                    fix="leave it out (--config finetune sets no sizes): sizes are the initial generator's",
                )
        return here.model_copy(update={key: getattr(wanted, key) for key in own})

    def fill_autoencoder(self, module: Autoencoder, cases: CaseSet) -> None:
        """Starts a new data set's autoencoder from this one's weights."""
        old, new = self._layouts(cases, self.generator.autoencoder.stem, module.stem)
        weights = self.generator.autoencoder.state_dict()
        cells = self._layouts(cases, self.generator.description.compression, cases.record.compression)
        carry_over("autoencoder", module, adapt_autoencoder(weights, old, new) | adapt_shortcut(weights, *cells))

    def fill_denoiser(self, module: nn.Module) -> None:
        """Starts the denoiser from this one's; it depends on no data set."""
        weights = self.generator.network.denoiser.state_dict()
        carry_over("denoiser", module, grow_outputs(weights, module.state_dict()))

    def fill_control(self, module: MaskControl, cases: CaseSet, *, inpainting: bool) -> None:
        """Starts a new data set's mask control from this one's weights.

        Args:
            module: to be filled.
            cases: of the new data set.
            inpainting: whether the module is told what is around a region.
        """
        known = self.generator.description
        old, new = self._layouts(cases, known.compression, cases.record.compression)
        weights = self.generator.network.control.state_dict()
        told = (known.inpainting, inpainting)
        carry_over("controlnet", module, adapt_control(weights, old, new, *told))

    def _layouts(self, cases: CaseSet, old: tuple[int, int, int], new: tuple[int, int, int]) -> tuple[Layout, Layout]:
        known, record = self.generator.description, cases.record
        return (
            Layout(tuple(known.dataset_json["channel_names"].values()), known.labels.names, old),
            Layout(tuple(record.dataset_json["channel_names"].values()), cases.schema.names, new),
        )


def initial_hash(initial: Initial | None) -> str | None:
    """Identity of the generator that a run starts from; all its stages must start from the same."""
    return None if initial is None else initial.hash


@torch.no_grad()
def carry_over(title: str, module: nn.Module, weights: Weights) -> list[str]:
    """Copies what has the same name and shape; logs and returns the names of the module's other weights."""
    own = module.state_dict()
    left = sorted(name for name, t in own.items() if name not in weights or weights[name].shape != t.shape)
    module.load_state_dict({name: t if name in left else weights[name] for name, t in own.items()})
    if left:
        log.warning(
            "%s: %d of %d weights start anew, the initial generator's have another shape: %s",
            title,
            len(left),
            len(own),
            ", ".join(left[:8]) + (", ..." if len(left) > 8 else ""),
        )
    return left
