"""First stage: the autoencoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lldm_aug.config.part import StageConfig
from lldm_aug.config.schema import AutoencoderSettings
from lldm_aug.config.stages import AutoencoderTrainSettings
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import drop_structures
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import numpy_rng, torch_rng
from lldm_aug.training.export import write_export
from lldm_aug.training.initial import Initial, initial_hash
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.losses import counted_mean, structure_weights
from lldm_aug.training.missing_texture import measure_texture
from lldm_aug.training.order import Row, kept_structures
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase, spread
from lldm_aug.training.preview import reconstructed

LINEAR_CASES = 32
"""So many tell the best linear code."""


class AutoencoderConfig(StageConfig[AutoencoderTrainSettings]):
    """Settings of the stage.

    Args:
        autoencoder: sizes.
    """

    autoencoder: AutoencoderSettings


class AutoencoderStage:
    """Trains an `Autoencoder` on whole volumes or random crops.

    The loss is a weighted L1 error, plus cross-entropy on exact zeros, plus a slight pull of the latent towards a
    standard normal.

    Args:
        initial: generator to start from.
    """

    name = "autoencoder"

    def __init__(self, cases: CaseSet, config: AutoencoderConfig, initial: Initial | None = None) -> None:
        self.cases, self.initial = cases, initial
        self.seed = config.seed
        self.settings = config.train
        record = cases.record
        self.patch = cases.patch(self.settings.patch)
        channels = len(record.dataset_json["channel_names"])
        self.sizes = config.autoencoder.resolved(record.compression, channels)
        self.module = Autoencoder(channels, len(cases.schema.names), record.compression, config.autoencoder)
        if initial is not None:
            initial.fill_autoencoder(self.module, cases)
        else:
            self.module.start_linear(cases.load(case_id).image for case_id in spread(cases.case_ids, LINEAR_CASES))
        self.case_ids = cases.case_ids

    @classmethod
    def build(cls, inputs: StageInputs) -> AutoencoderStage:
        """See `Trainer`."""
        return cls(inputs.cases, inputs.own(AutoencoderConfig), inputs.initial)

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        boxes = self.cases.drawn(rows, self.seed, self.name, self.patch)
        crops = [self._crop(self.cases.load(row.case_id, box), row) for row, box in zip(rows, boxes, strict=True)]
        image = torch.stack([c.image for c in crops]).to(device)
        labels = torch.stack([c.label for c in crops]).to(device)
        condition = self.cases.condition([row.case_id for row in rows], labels)
        foreground = torch.stack([c.foreground for c in crops]).to(device)
        noise = torch.stack([self._noise(row, image.shape[2:]) for row in rows]).to(device)
        kept = kept_structures(len(self.cases.schema.names), self.settings, self.seed, self.name, rows)
        seen = drop_structures(condition, kept.to(device))
        reconstruction, logit, mean, deviation = model(image, seen, noise)
        weights = structure_weights(condition, self.settings.structure_weight)
        counted = self.cases.counted(rows, boxes)
        counted = None if counted is None else counted.to(device)
        l1 = counted_mean(weights * (reconstruction - image).abs(), counted)
        zeros = F.binary_cross_entropy_with_logits(logit, foreground, reduction="none")
        zeros = counted_mean(zeros[:, None], counted)
        kl = 0.5 * (mean**2 + deviation**2 - 2 * deviation.log() - 1).mean()
        total = l1 + self.settings.background_weight * zeros + self.settings.kl_weight * kl
        return total, {"l1": l1.item(), "background": zeros.item(), "kl": kl.item()}

    def _noise(self, row: Row, shape: torch.Size) -> torch.Tensor:
        sides = [n // f for n, f in zip(shape, self.cases.record.compression, strict=True)]
        generator = torch_rng(self.seed, self.name, "noise", row.step, row.number)
        return torch.randn(self.sizes.latents, *sides, generator=generator)

    def _crop(self, case: PreparedCase, row: Row) -> PreparedCase:
        if self.patch is None or self.cases.record.windows:  # of windows the patch has been drawn already
            return case
        rng = numpy_rng(self.seed, self.name, "crop", row.step, row.number)
        size = np.minimum(self.patch, case.label.shape)
        start = rng.integers(0, np.asarray(case.label.shape) - size + 1)
        window = tuple(slice(int(s), int(s + n)) for s, n in zip(start, size, strict=True))
        return PreparedCase(case.image[:, *window], case.label[window], case.foreground[window])

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Real cases above their reconstructions."""
        rows = []
        for case_id in self.case_ids[:3]:
            case = self.cases.load(case_id)
            for caption, shown in ((case_id, case.image), ("reconstructed", self._reconstruct(case_id, case).cpu())):
                rows.append(MosaicRow(shown[0].numpy(), case.label.numpy(), self.cases.record.spacing_mm, caption))
        write_mosaic(path, rows, title="Autoencoder: real and reconstructed", schema=self.cases.schema)

    def _reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        return reconstructed(self.module, self.cases, case_id, case)

    def export(self, folder: Path) -> None:
        """Weights, the texture that reconstructions lack (samples lack more, as correlated), and what they saw."""
        texture = measure_texture(self.cases.labelled(), self._reconstruct)
        facts = {
            "autoencoder": self.sizes.model_dump(mode="json"),
            "texture": [residual_noise.model_dump(mode="json") for residual_noise in texture],
            "initial": initial_hash(self.initial),
        }
        before = () if self.initial is None else self.initial.stages
        write_export(folder, {"autoencoder": self.module}, facts, (*before, self.cases.provenance(self.name)))
