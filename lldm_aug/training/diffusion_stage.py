"""Second stage: the diffusion model in the latent space, without masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from lldm_aug.config.part import LatentConfig
from lldm_aug.config.schema import DenoiserSettings, ObjectiveSettings
from lldm_aug.config.stages import DiffusionTrainSettings
from lldm_aug.diffusion.objective import Objective, make_objective
from lldm_aug.geometry import Box
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.seeds import torch_rng
from lldm_aug.training.export import Export, write_export
from lldm_aug.training.initial import Initial, initial_hash
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import counted_mean, latent_occupancy
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet
from lldm_aug.training.preview import write_samples

DiffusionConfig = LatentConfig[DiffusionTrainSettings]


class DiffusionStage:
    """Trains the denoiser on normalised latents with a plain squared error.

    Args:
        initial: generator to start from, that of the first stage.
    """

    name = "diffusion"

    def __init__(
        self,
        cases: CaseSet,
        config: DiffusionConfig,
        first: Export,
        latents: LatentCache,
        initial: Initial | None = None,
    ) -> None:
        self.initial = initial
        first.require("initial", initial_hash(initial))
        self.cases, self.config, self.first, self.latents = cases, config, first, latents
        self.settings = config.train
        self.objective = make_objective(config.objective)
        self.module = build_denoiser(config.autoencoder.latents, config.denoiser, config.objective)
        if initial is not None:
            initial.fill_denoiser(self.module)
        self.case_ids = cases.case_ids

    @classmethod
    def build(cls, inputs: StageInputs) -> DiffusionStage:
        """See `Trainer`."""
        first = inputs.export("autoencoder")
        return cls(inputs.cases, inputs.own(DiffusionConfig), first, inputs.latents(first), inputs.initial)

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        boxes = self.cases.drawn(rows, self.config.seed, self.name)
        drawn = draw_latents(self.latents, self.objective, rows, self.config.seed, self.name, device, boxes)
        noised = self.objective.noised(*drawn)
        counted = counted_cells(self.cases, rows, boxes, device)
        return counted_mean(self.objective.error(model(noised.noisy, noised.times), noised), counted), {}

    def preview(self, path: Path) -> None:
        """Samples without a mask's control, decoded under real masks."""
        device = next(self.module.parameters()).device
        write_samples(
            path, self.cases, self.config, self.first, self.latents, lambda x, t, _: self.module(x, t), device
        )

    def export(self, folder: Path) -> None:
        """Weights, latent statistics and what was seen."""
        write_export(
            folder,
            {"denoiser": self.module},
            {
                **network_facts(self.config.denoiser, self.config.objective),
                "autoencoder_hash": self.first.hash,
                "initial": initial_hash(self.initial),
            },
            (*self.first.record.stages, self.cases.provenance(self.name)),
        )


def network_facts(denoiser: DenoiserSettings, objective: ObjectiveSettings) -> dict[str, object]:
    """DiffusionTrainSettings that the third stage must share."""
    return {
        "denoiser": denoiser.model_dump(mode="json"),
        "objective": objective.model_dump(mode="json"),
    }


def counted_cells(
    cases: CaseSet, rows: Sequence[Row], boxes: Sequence[Box | None], device: torch.device
) -> torch.Tensor | None:
    """What of the rows' latent cells counts, as (B, 1, x, y, z) shares; None for all of them: see `CaseSet.counted`."""
    counted = cases.counted(rows, boxes)
    return None if counted is None else latent_occupancy(counted.to(device), cases.record.compression)


class Clean(Protocol):
    """What is to be learnt: latents, or images themselves."""

    def draw(self, case_id: str, generator: torch.Generator, box: Box | None = None) -> torch.Tensor:
        """A draw (L, x, y, z) of a case, or of the part of it in a box of voxels."""


def draw_latents(
    latents: Clean,
    objective: Objective,
    rows: list[Row],
    seed: int,
    stage: str,
    device: torch.device,
    boxes: Sequence[Box | None] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean latents (B, L, ...), noise (B, L, ...) and network times (B,); each row has random numbers of its own.

    Args:
        latents: what is learnt.
        objective: draws the times.
        rows: of the batch.
        seed: of the run.
        stage: its name.
        device: where they are needed.
        boxes: the parts of their cases that the rows show; None for all.
    """
    clean, noise, times = [], [], []
    for row, box in zip(rows, boxes or [None] * len(rows), strict=True):
        generator = torch_rng(seed, stage, "noise", row.step, row.number)
        clean.append(latents.draw(row.case_id, generator, box))
        noise.append(torch.randn(clean[-1].shape, generator=generator))
        times.append(objective.draw_times(generator, 1))
    return torch.stack(clean).to(device), torch.stack(noise).to(device), torch.cat(times).to(device)
