"""The stage between autoencoder and diffusion, if wanted: the refiner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lldm_aug.config.schema import Config
from lldm_aug.config.schema import RefinerStage as Settings
from lldm_aug.diffusion.objective import RectifiedFlow
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import drop_structures
from lldm_aug.models.refiner import Refiner
from lldm_aug.report.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import numpy_rng, torch_rng
from lldm_aug.training.cases import CaseSet, spread
from lldm_aug.training.dropout import kept_structures
from lldm_aug.training.export import Export, write_export
from lldm_aug.training.initial import Initial, initial_hash
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import structure_weights
from lldm_aug.training.order import Row
from lldm_aug.training.preview import load_autoencoder

NAME = "refiner"
SCALE_CASES = 16
"""So many tell how much detail decoded images lack."""


class RefinerStage:
    """Trains a `Refiner` on what the finished autoencoder loses, with the weighted squared error of the velocity.

    Args:
        initial: generator to start from, that of the other stages.
    """

    name = NAME

    def __init__(
        self, cases: CaseSet, config: Config, first: Export, latents: LatentCache, initial: Initial | None = None
    ) -> None:
        first.require("initial", initial_hash(initial))
        self.cases, self.config, self.first, self.latents, self.initial = cases, config, first, latents, initial
        self.settings: Settings = config.train.refiner
        self.objective = RectifiedFlow()
        record = cases.record
        channels = len(record.dataset_json["channel_names"])
        self.autoencoder = load_autoencoder(cases, config, first).requires_grad_(False)
        self.module = Refiner(channels, len(cases.schema.names), record.compression, config.refiner)
        self.case_ids = cases.case_ids
        if initial is not None and initial.generator.refiner is not None:
            initial.fill_refiner(self.module, cases)
        else:
            self.module.scale.copy_(self._lacking())

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        crops = [self._crop(row) for row in rows]
        image, latent, labels = (torch.stack(parts).to(device) for parts in zip(*crops, strict=True))
        condition = self.cases.condition([row.case_id for row in rows], labels)
        kept = kept_structures(len(self.cases.schema.names), self.settings, self.config.seed, self.name, rows)
        seen = drop_structures(condition, kept.to(device))
        coarse = decode(self.autoencoder.to(device), latent, seen)
        noise, times = self._noise(rows, image.shape[1:])
        detail = self.module.detail(image, coarse)
        noisy, target = self.objective.corrupt(detail, noise.to(device), times.to(device))
        error = (model(noisy, times.to(device), coarse, seen) - target) ** 2
        weights = structure_weights(condition, self.settings.structure_weight)
        return (weights * error).mean(), {"unweighted": error.mean().item()}

    def preview(self, path: Path) -> None:
        """Real cases above their reconstructions, without and with the detail."""
        device = next(self.module.parameters()).device
        rows = []
        for case_id in self.case_ids[:2]:
            case = self.cases.load(case_id)
            condition = self.cases.condition([case_id], case.label[None].to(device))
            coarse = decode(self.autoencoder.to(device), self.latents.mean_of(case_id)[None].to(device), condition)
            noise = torch.randn(coarse.shape, generator=torch_rng(self.config.seed, "preview", case_id))
            refined = self.module.refine(coarse, condition, noise.to(device))
            shown = ((case_id, case.image), ("reconstructed", coarse[0]), ("with detail", refined[0]))
            for caption, image in shown:
                rows.append(
                    MosaicRow(image[0].cpu().numpy(), case.label.numpy(), self.cases.record.spacing_mm, caption)
                )
        write_mosaic(path, rows, title="Refiner: real and reconstructed", schema=self.cases.schema)

    def export(self, folder: Path) -> None:
        """Weights and what was seen."""
        facts = {
            "refiner": self.config.refiner.model_dump(mode="json"),
            "autoencoder_hash": self.first.hash,
            "initial": initial_hash(self.initial),
        }
        stages = (*self.first.record.stages, self.cases.provenance(self.name))
        write_export(folder, {"refiner": self.module}, facts, stages)

    def _crop(self, row: Row) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image, spoilt latent in the autoencoder's units, and label of a random crop that whole latent cells fill."""
        case = self.cases.load(row.case_id)
        generator = torch_rng(self.config.seed, self.name, "latent", row.step, row.number)
        latent = self.latents.mean_of(row.case_id)
        spoil = self.settings.latent_noise * torch.rand(1, generator=generator)
        std = torch.tensor(self.latents.std).view(-1, 1, 1, 1)
        latent = latent + spoil * std * torch.randn(latent.shape, generator=generator)
        cells, factors = np.array(latent.shape[1:]), np.array(self.cases.record.compression)
        size = cells if self.settings.patch is None else np.minimum(np.array(self.settings.patch) // factors, cells)
        start = numpy_rng(self.config.seed, self.name, "crop", row.step, row.number).integers(0, cells - size + 1)
        coarse = tuple(slice(int(a), int(b)) for a, b in zip(start, start + size, strict=True))
        fine = tuple(slice(int(a), int(b)) for a, b in zip(start * factors, (start + size) * factors, strict=True))
        return case.image[:, *fine], latent[:, *coarse], case.label[fine]

    def _noise(self, rows: list[Row], shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        noise, times = [], []
        for row in rows:
            generator = torch_rng(self.config.seed, self.name, "noise", row.step, row.number)
            noise.append(torch.randn(shape, generator=generator))
            times.append(self.objective.draw_times(generator, 1))
        return torch.stack(noise), torch.cat(times)

    def _lacking(self) -> torch.Tensor:
        """(C,) root mean square of what reconstructions of training cases lack."""
        squares = []
        for case_id in spread(self.cases.case_ids, SCALE_CASES):
            case = self.cases.load(case_id)
            condition = self.cases.condition([case_id], case.label[None])
            coarse = decode(self.autoencoder, self.latents.mean_of(case_id)[None], condition)
            squares.append(((case.image - coarse[0]) ** 2).flatten(1).mean(1))
        return torch.stack(squares).mean(0).sqrt()


@torch.no_grad()
def decode(autoencoder: Autoencoder, latent: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """The decoded image alone."""
    return autoencoder.decode(latent, condition)[0].float()
