"""The diffusion model of masks: second pass of ``lldm-aug train masks``."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lldm_aug.anatomy.limits import DEFAULT_LIMITS, Limits
from lldm_aug.config.schema import MaskSettings
from lldm_aug.config.stages import MasksDiffusionTrainSettings
from lldm_aug.diffusion.objective import make_objective
from lldm_aug.masks.distance import assemble
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.mask_description import MaskDescription
from lldm_aug.models.mask_model import MaskAutoencoder, MaskModel
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import torch_rng
from lldm_aug.training.diffusion_stage import draw_latents
from lldm_aug.training.export import Export, write_export
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.latents import LatentCache, Moments, cache_moments
from lldm_aug.training.mask_fields import MaskFields
from lldm_aug.training.masks_autoencoder import MasksConfig, autoencoder_facts, mask_compression
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet

NUM_SAMPLES = 4

MasksDiffusionConfig = MasksConfig[MasksDiffusionTrainSettings]


class MasksDiffusionStage:
    """Trains a denoiser on normalised latents of deformed masks; exports the mask model.

    Raises:
        ConfigError: when the networks cannot halve the grid as often as they are to.
    """

    name = "masks_diffusion"

    def __init__(self, cases: CaseSet, config: MasksDiffusionConfig, first: Export, latents: LatentCache) -> None:
        self.cases, self.config, self.first, self.latents = cases, config, first, latents
        self.compression, self.settings = mask_compression(cases, config.masks), config.train
        masks = config.masks
        self.objective = make_objective(masks.objective)
        self.module = build_denoiser(masks.autoencoder.latents, masks.denoiser, masks.objective)
        self.case_ids = copy_names(cases, config.masks)

    @classmethod
    def build(cls, inputs: StageInputs) -> MasksDiffusionStage:
        """See `Trainer`."""
        config, cases = inputs.own(MasksDiffusionConfig), inputs.cases
        fields, first = MaskFields.prepared(inputs, config.masks), inputs.export("masks_autoencoder")
        accelerator = inputs.accelerator
        with accelerator.main_process_first():
            latents = cache_copies(cases, config, first, fields, accelerator.device, inputs.folder / "latents")
        return cls(cases, config, first, latents)

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        drawn = draw_latents(self.latents, self.objective, rows, self.config.seed, self.name, device)
        noised = self.objective.noised(*drawn)
        return self.objective.error(model(noised.noisy, noised.times), noised).mean(), {}

    @cached_property
    def _limits(self) -> Limits:
        labels = (self.cases.load_label(case_id).numpy() for case_id in self.cases.case_ids)
        return DEFAULT_LIMITS.widened(labels, self.cases.schema)

    def _mask_model(self) -> MaskModel:
        record, masks = self.cases.record, self.config.masks
        description = record.describe(
            MaskDescription,
            masks,
            compression=self.compression,
            latent_mean=self.latents.mean,
            latent_std=self.latents.std,
            limits=self._limits,
            reconstruction_dice=self.first.record.facts["reconstruction_dice"],
            stages=(*self.first.record.stages, self.cases.provenance(self.name)),
        )
        device = next(self.module.parameters()).device
        return MaskModel(
            description, load_mask_autoencoder(self.cases, self.config.masks, self.first).to(device), self.module
        )

    def preview(self, path: Path) -> None:
        """Masks from the same noise each time, so that pictures can be compared."""
        model, rows = self._mask_model(), []
        device = next(self.module.parameters()).device
        for number in range(NUM_SAMPLES):
            generator = torch_rng(self.config.seed, self.name, "preview", number)
            noise = torch.randn(1, *model.description.latent_shape, generator=generator)
            depth = model.depths_mm(noise.to(device), generator)[0].float().cpu().numpy()
            shown = depth.max(axis=0).clip(-self.config.masks.reach_mm, self.config.masks.reach_mm)
            rows.append(MosaicRow(shown, assemble(depth, self.cases.schema), self.cases.record.spacing_mm, f"{number}"))
        write_mosaic(path, rows, title="New masks over their depth", schema=self.cases.schema)

    def export(self, folder: Path) -> None:
        """The whole mask model, in the ``export`` folder beside both passes; ``folder`` gets what was seen."""
        model = self._mask_model()
        model.save(folder.parent.parent / "export")
        write_export(folder, {}, {}, model.description.stages)


def copy_names(cases: CaseSet, masks: MaskSettings) -> tuple[str, ...]:
    """Names of the deformed copies of all training masks: case id and number."""
    copies = max(1, round(masks.examples / len(cases.case_ids)))
    return tuple(f"{case_id}~{number}" for case_id in cases.case_ids for number in range(copies))


def load_mask_autoencoder(cases: CaseSet, masks: MaskSettings, first: Export) -> MaskAutoencoder:
    """The finished first pass, ready to use.

    Raises:
        IncompatibleResume: when it was made with other settings.
    """
    compression = tuple(first.record.facts["compression"])
    for name, value in autoencoder_facts(masks, compression).items():
        first.require(name, value)
    autoencoder = MaskAutoencoder(len(cases.schema.names), compression, masks.autoencoder)
    first.fill("mask_autoencoder", autoencoder)
    return autoencoder.eval()


def cache_copies(
    cases: CaseSet, config: MasksConfig[Any], first: Export, fields: MaskFields, device: torch.device, folder: Path
) -> LatentCache:
    """Latents of the deformed copies, or those found from an earlier call."""
    autoencoder = load_mask_autoencoder(cases, config.masks, first).to(device)

    def encode(name: str) -> Moments:
        case_id, _, number = name.rpartition("~")
        copy = fields.deformed(case_id, None, "copy", int(number))
        mean, deviation = autoencoder.encode(copy[None].to(device))
        return mean, deviation

    masks = config.masks
    identity = {
        "autoencoder": first.hash,
        "cases": cases.record.request,
        "copies": f"{masks.examples} x {masks.deformation}, seed {config.seed}",
    }
    return cache_moments(copy_names(cases, config.masks), encode, identity, folder, torch.float16)
