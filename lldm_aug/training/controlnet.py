"""Third stage: the mask's control, with the diffusion model learning on or frozen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from lldm_aug.config.part import LatentConfig
from lldm_aug.config.schema import IntensitySettings
from lldm_aug.config.stages import ControlNetTrainSettings
from lldm_aug.diffusion.objective import make_objective
from lldm_aug.errors import IncompatibleResume
from lldm_aug.geometry import Box
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.card import model_card
from lldm_aug.models.condition import drop_structures
from lldm_aug.models.denoiser import ControlledDenoiser, MaskControl, build_denoiser, copy_encoder
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.models.layers import lowest_cell
from lldm_aug.models.mask_description import MaskDescription
from lldm_aug.models.segmenter import Segmenter, SegmenterDescription
from lldm_aug.models.surroundings import without_surroundings
from lldm_aug.training.checkpoint import trained_steps
from lldm_aug.training.choice import BestWeights, Score
from lldm_aug.training.diffusion_stage import counted_cells, draw_latents, network_facts
from lldm_aug.training.export import Export, write_export
from lldm_aug.training.initial import Initial, initial_hash
from lldm_aug.training.inpainting import Surroundings
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import counted_mean, latent_occupancy, structure_weights
from lldm_aug.training.mask_consistency import MaskConsistency
from lldm_aug.training.missing_texture import MOST_CASES, measure_cases, measure_texture, samples_of
from lldm_aug.training.order import Row, kept_structures
from lldm_aug.training.prepared_cases import CaseSet
from lldm_aug.training.preview import load_autoencoder, write_samples
from lldm_aug.training.window_crops import crop_sides

LAST = "the last averaged ones"
SCORE_TEXTURES = 4
"""Samples by which the texture that they lack is measured for a score; it is measured by more for the generator."""

log = logging.getLogger(__name__)


class ControlNetConfig(LatentConfig[ControlNetTrainSettings]):
    """Settings of the stage.

    Args:
        intensity: how a case's intensities are scaled.
    """

    intensity: IntensitySettings


class ControlNetStage:
    """Trains U-Net and mask control on latents, cells with structures weighing more; exports the generator.

    Where there are cases without a mask they make up half of each batch, all their structures unknown: trained on the
    few others alone, the denoiser would learn these by heart. Pictures and measurements show labelled cases.

    Args:
        cases: training cases, with or without a mask.
        judge: measures by what the exported weights are chosen; None exports the last averaged ones.
        initial: generator whose mask control it starts from, that of the other stages; None starts it as a copy of the
            denoiser's encoder.
        parts: folders that the generator carries with it, if they are there by then, by the name that each gets.
    """

    name = "controlnet"

    def __init__(
        self,
        cases: CaseSet,
        config: ControlNetConfig,
        first: Export,
        second: Export,
        latents: LatentCache,
        judge: MaskConsistency | None = None,
        initial: Initial | None = None,
        parts: Mapping[str, Path] | None = None,
    ) -> None:
        self.judge, self.parts = judge, parts or {}
        self.cases, self.config, self.first, self.second, self.latents = cases, config, first, second, latents
        self.labelled = cases.labelled()
        for name, value in network_facts(config.denoiser, config.objective).items():
            second.require(name, value)
        second.require("autoencoder_hash", first.hash)
        second.require("initial", initial_hash(initial))
        self.settings = config.train
        self.objective = make_objective(config.objective)
        denoiser = build_denoiser(config.autoencoder.latents, config.denoiser, config.objective)
        second.fill("denoiser", denoiser)
        channels = len(cases.record.dataset_json["channel_names"])
        told = len(cases.schema.names) + (channels + 1 if self.settings.inpainting else 0)
        control = MaskControl(config.autoencoder.latents, told, cases.record.compression, config.denoiser)
        copy_encoder(denoiser, control)
        if initial is not None:
            initial.fill_control(control, cases, inpainting=self.settings.inpainting)
        denoiser.requires_grad_(self.settings.train_denoiser)
        self.module = ControlledDenoiser(denoiser, control)
        self.case_ids, self.unlabelled_ids = self.labelled.case_ids, cases.unlabelled_ids

    @classmethod
    def build(cls, inputs: StageInputs) -> ControlNetStage:
        """See `Trainer`."""
        config, first, second = inputs.own(ControlNetConfig), inputs.export("autoencoder"), inputs.export("diffusion")
        judge = _judge(inputs, config) if config.train.score_every else None
        return cls(inputs.cases, config, first, second, inputs.latents(first), judge, inputs.initial, inputs.models)

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        seed, boxes = self.config.seed, self._shown(rows)
        clean, noise, times = draw_latents(self.latents, self.objective, rows, seed, self.name, device, boxes)
        labels = torch.stack([self.cases.load_label(row.case_id, box) for row, box in zip(rows, boxes, strict=True)])
        condition = self.cases.condition([row.case_id for row in rows], labels.to(device))
        kept = kept_structures(len(self.cases.schema.names), self.settings, seed, self.name, rows)
        told = drop_structures(condition, kept.to(device))
        if self.settings.inpainting:
            around = Surroundings.drawn(self.cases, rows, boxes, labels, seed, self.name).to(device)
            told = around.told(told)
            clean = around.clean(clean, self._frozen(device), self.latents)
            counted: torch.Tensor | None = around.counted
        else:
            counted = counted_cells(self.cases, rows, boxes, device)
        noised = self.objective.noised(clean, noise, times)
        error = self.objective.error(model(noised.noisy, noised.times, told), noised)
        occupancy = latent_occupancy(condition, self.cases.record.compression)
        weights = structure_weights(occupancy, self.settings.structure_weight)
        return counted_mean(weights * error, counted), {"unweighted": counted_mean(error, counted).item()}

    def _shown(self, rows: list[Row]) -> Sequence[Box | None]:
        """The parts of their cases that the rows show, None for all."""
        record, seed = self.cases.record, self.config.seed
        if self.settings.inpainting and not record.windows:
            cell = lowest_cell(record.compression, len(self.config.denoiser.channels))
            sides = crop_sides(record.shape, cell, seed, self.name, rows[0].step)
            if sides is not None:
                return self.cases.crops(rows, seed, self.name, sides)
        return self.cases.drawn(rows, seed, self.name)

    def preview(self, path: Path) -> None:
        """Samples for real masks."""
        device = next(self.module.parameters()).device
        write_samples(path, self.labelled, self.config, self.first, self.latents, self._predict_whole, device)

    def _predict_whole(self, latent: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The module's prediction for whole images of masks (B, S, X, Y, Z)."""
        if self.settings.inpainting:
            condition = without_surroundings(condition, len(self.cases.record.dataset_json["channel_names"]))
        predicted: torch.Tensor = self.module(latent, time, condition)
        return predicted

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return load_autoencoder(self.cases, self.config.autoencoder, self.first).requires_grad_(False)

    def _frozen(self, device: torch.device) -> Autoencoder:
        return self._autoencoder.to(device)

    @property
    def score_every(self) -> int:
        """See `ScoredStage`."""
        return self.settings.score_every if self.judge is not None else 0

    def score(self) -> Score | None:
        """mask consistency."""
        return self.judge.score(self._with_texture(SCORE_TEXTURES)) if self.judge is not None else None

    @cached_property
    def generator(self) -> Generator:
        """The generator that the module is the heart of, with the texture that reconstructions lack."""
        device = next(self.module.parameters()).device
        return Generator(self._description(), self._frozen(device), self.module)

    def _with_texture(self, most: int = MOST_CASES) -> Generator:
        """The generator with the texture that its samples for so many training masks lack now: they are smoother."""
        known = [residual_noise.correlation for residual_noise in self.generator.description.texture]
        show = samples_of(self.generator, self.labelled, self.config.seed, self.name)
        texture = measure_texture(self.labelled, show, known, most)
        return replace(self.generator, description=self.generator.description.model_copy(update={"texture": texture}))

    def _description(self) -> Description:
        record = self.cases.record
        return record.describe(
            Description,
            self.config,
            scaling=self.config.intensity,
            latent_mean=self.latents.mean,
            latent_std=self.latents.std,
            texture=self.first.record.facts.get("texture", ()),
            real_signal=measure_cases(self.labelled),
            inpainting=self.settings.inpainting,
            stages=(*self.second.record.stages, self.cases.provenance(self.name)),
        )

    def export(self, folder: Path) -> None:
        """The whole generator, in the run folder's ``generator``; ``folder`` gets what it saw and which step it is."""
        run = folder.parent.parent
        parts = {name: part for name, part in self.parts.items() if part.is_dir()}
        generator = self._with_texture()
        chosen = BestWeights(folder.parent).chosen()
        card = model_card(
            generator.description,
            {name: trained_steps(run / name) for name in ("autoencoder", "diffusion", self.name)},
            self.config.seed,
            LAST if chosen is None else f"after step {chosen.step}, mask consistency {chosen.score.value:.3f}",
            segmenter=SegmenterDescription.read(parts["segmenter"]) if "segmenter" in parts else None,
            masks=MaskDescription.read(parts["masks"]) if "masks" in parts else None,
        )
        generator.save(run / "generator", card=card, parts=parts)
        facts = {} if chosen is None else {"chosen": chosen.model_dump(mode="json")}
        write_export(folder, {}, facts, generator.description.stages)


def _judge(inputs: StageInputs, config: ControlNetConfig) -> MaskConsistency | None:
    """What chooses the weights: the run's own segmenter, if it has one."""
    cases, run, folder = inputs.cases, inputs.run, inputs.models["segmenter"]
    if not folder.is_dir():
        log.warning("%s has no segmenter, so the last weights are exported; 'lldm-aug train segmenter' makes one", run)
        return None
    segmenter = Segmenter.load(folder).to(inputs.accelerator.device)
    if any(not seen.cases.items() <= cases.record.cases.items() for seen in segmenter.description.stages):
        raise IncompatibleResume(
            "was trained on cases that are not this fold's training cases, and may not choose this run's weights",
            where=folder,
            fix="train one here with 'lldm-aug train segmenter'",
        )
    real_dice = {name: found.mean for name, found in segmenter.description.heldout_dice.items()}
    return MaskConsistency(inputs.dataset, cases, config.seed, config.train.score_cases, segmenter, real_dice)
