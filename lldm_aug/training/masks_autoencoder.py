"""The autoencoder of masks: first pass of ``lldm-aug train masks``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lldm_aug.config.part import Optimisation, StageConfig
from lldm_aug.config.schema import MaskSettings
from lldm_aug.config.stages import MasksAutoencoderTrainSettings
from lldm_aug.data.conform import compression_for
from lldm_aug.geometry import Box
from lldm_aug.masks.distance import SOFTNESS_MM, assemble
from lldm_aug.metrics.dice import dice
from lldm_aug.models.layers import Factors
from lldm_aug.models.mask_model import MaskAutoencoder
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import numpy_rng, torch_rng
from lldm_aug.training.export import write_export
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.losses import soft_dice_loss
from lldm_aug.training.mask_fields import MaskFields
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, check_sides, spread
from lldm_aug.training.window_crops import Sides

MEASURED_CASES = 16


class MasksConfig(StageConfig[Optimisation]):
    """Settings of both passes.

    Args:
        masks: what the mask model is.
    """

    masks: MaskSettings


MasksAutoencoderConfig = MasksConfig[MasksAutoencoderTrainSettings]


class MasksAutoencoderStage:
    """Trains a `MaskAutoencoder` on crops of deformed masks.

    The loss is the error of depths, plus cross-entropy and soft Dice of what they say about each voxel (so that thin
    vessels count), plus a slight pull of the latent towards a standard normal.
    """

    name = "masks_autoencoder"

    def __init__(self, cases: CaseSet, config: MasksAutoencoderConfig, fields: MaskFields) -> None:
        self.cases, self.fields, self.seed, self.sizes = cases, fields, config.seed, config.masks
        self.settings = config.train
        self.compression = mask_compression(cases, config.masks, config.train.patch)
        self.module = MaskAutoencoder(len(cases.schema.names), self.compression, config.masks.autoencoder)
        self.case_ids = cases.case_ids
        self.module.start(lambda: map(fields.load, spread(cases.case_ids, MEASURED_CASES)))

    @classmethod
    def build(cls, inputs: StageInputs) -> MasksAutoencoderStage:
        """See `Trainer`."""
        config = inputs.own(MasksAutoencoderConfig)
        return cls(inputs.cases, config, MaskFields.prepared(inputs, config.masks))

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        fields = torch.stack([self._crop(row) for row in rows]).to(device)
        noise = torch.stack([self._noise(row, fields.shape[2:]) for row in rows]).to(device)
        reconstruction, mean, deviation = model(fields, noise)
        depth = (reconstruction.clamp(-1, 1) - fields).abs().mean() + F.relu(reconstruction.abs() - 1).mean()
        logits, truth = reconstruction * (self.sizes.reach_mm / SOFTNESS_MM), (fields > 0).float()
        overlap = F.binary_cross_entropy_with_logits(logits, truth) + soft_dice_loss(logits.sigmoid(), truth)
        kl = 0.5 * (mean**2 + deviation**2 - 2 * deviation.log() - 1).mean()
        total = depth + self.settings.overlap_weight * overlap + self.settings.kl_weight * kl
        return total, {"depth": depth.item(), "overlap": overlap.item(), "kl": kl.item()}

    def _noise(self, row: Row, shape: torch.Size) -> torch.Tensor:
        sides = [n // f for n, f in zip(shape, self.compression, strict=True)]
        generator = torch_rng(self.seed, self.name, "noise", row.step, row.number)
        return torch.randn(self.sizes.autoencoder.latents, *sides, generator=generator)

    def _crop(self, row: Row) -> torch.Tensor:
        """A window of a deformed mask, around a voxel of one of its structures."""
        rng = numpy_rng(self.seed, self.name, "crop", row.step, row.number)
        box = self._window(self.cases.load_label(row.case_id).numpy(), rng)
        return self.fields.deformed(row.case_id, box, row.step, row.number)

    def _window(self, label: np.ndarray, rng: np.random.Generator) -> Box:
        shape = np.asarray(label.shape)
        size = np.minimum(self.settings.patch or shape, shape)
        present = np.unique(label[label > 0])
        places = np.argwhere(label == rng.choice(present)) if len(present) else np.argwhere(label == 0)
        start = np.clip(rng.choice(places) - rng.integers(0, size), 0, shape - size).tolist()
        x, y, z = (slice(a, a + int(n)) for a, n in zip(start, size, strict=True))
        return x, y, z

    @torch.no_grad()
    def _reconstructed(self, case_id: str) -> np.ndarray:
        """A training mask after a pass through the autoencoder."""
        device = next(self.module.parameters()).device
        fields = self.module.decode(self.module.encode(self.fields.load(case_id)[None].to(device))[0])[0]
        return assemble(fields.float().cpu().numpy() * self.sizes.reach_mm, self.cases.schema)

    def preview(self, path: Path) -> None:
        """Training masks above their reconstructions."""
        rows = []
        for case_id in self.case_ids[:3]:
            label, depth = self.cases.load_label(case_id).numpy(), self.fields.load(case_id).amax(0).numpy()
            for caption, shown in ((case_id, label), ("reconstructed", self._reconstructed(case_id))):
                rows.append(MosaicRow(depth, shown, self.cases.record.spacing_mm, caption, slices_from=label))
        write_mosaic(path, rows, title="Mask autoencoder: real and reconstructed", schema=self.cases.schema)

    def _reconstruction_dice(self) -> dict[str, float]:
        chosen = spread(self.case_ids, MEASURED_CASES)
        found = [dice(self._reconstructed(c), self.cases.load_label(c).numpy(), self.cases.schema) for c in chosen]
        scores = {name: [f[name] for f in found if not np.isnan(f[name])] for name in self.cases.schema.names}
        return {name: float(np.mean(values)) for name, values in scores.items() if values}

    def export(self, folder: Path) -> None:
        """Weights, how well they reconstruct, and what they saw."""
        facts = {**autoencoder_facts(self.sizes, self.compression), "reconstruction_dice": self._reconstruction_dice()}
        write_export(folder, {"mask_autoencoder": self.module}, facts, (self.cases.provenance(self.name),))


def mask_compression(cases: CaseSet, masks: MaskSettings, patch: Sides | None = None) -> Factors:
    """Voxels per latent cell; errors as `check_sides`, of the grid and of patches of it."""
    shape, compression = cases.record.shape, masks.autoencoder.compression or compression_for(cases.record.spacing_mm)
    levels, patch_where = len(masks.denoiser.channels), "train.masks_autoencoder.patch"
    check_sides(shape, compression, levels, "masks.denoiser.channels", patch, patch_where)
    return compression


def autoencoder_facts(sizes: MaskSettings, compression: tuple[int, int, int]) -> dict[str, object]:
    """MasksAutoencoderTrainSettings that the second pass must share."""
    return {
        "autoencoder": sizes.autoencoder.model_dump(mode="json"),
        "reach_mm": sizes.reach_mm,
        "compression": list(compression),
    }
