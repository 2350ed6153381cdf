"""One network of a study on the common training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lldm_aug.blending.blend import MapStyle
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.evaluation.utility.cases import AIR, Pair, pad_to
from lldm_aug.labels import LabelSchema
from lldm_aug.seeds import derive_seed
from lldm_aug.training.order import Row
from lldm_aug.training.segmenter import segmentation_loss

NAME = "utility"
Augment = Callable[[torch.Tensor, torch.Tensor, SegmenterTrainSettings, int, int, int], Pair]


@dataclass
class NetworkStage:
    """A stage whose cases may be blended with synthetic ones; see `lldm_aug.training.stage.Stage`.

    Args:
        module: the network.
        settings: of its optimisation.
        case_ids: names of the real cases, in the order of ``data``.
        data: the real cases as pairs, or a blend around them.
        schema: what the masks mean.
        augment: changes a view of each case.
        seed: of order, blend and augmentation.
        finish: is given the trained network.
    """

    module: nn.Module
    settings: SegmenterTrainSettings
    case_ids: tuple[str, ...]
    data: MapStyle[Pair]
    schema: LabelSchema
    augment: Augment
    seed: int
    finish: Callable[[nn.Module], None]
    name: str = NAME

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        views = [self._view(row) for row in rows]
        image = torch.stack([image for image, _ in views]).to(device)
        label = torch.stack([label for _, label in views]).to(device)
        with torch.random.fork_rng():  # drop-out draws from torch's global generator
            torch.manual_seed(derive_seed(self.seed, "drop-out", rows[0].step, rows[0].number))
            logits = model(image)
        return segmentation_loss(logits, label, self.schema, self.settings.structure_weight)

    def preview(self, path: Path) -> None:
        """Draws nothing: there are too many networks in a study to look at each."""

    def export(self, folder: Path) -> None:
        """Scores the network, whose averaged weights are in."""
        self.finish(self.module)

    def _view(self, row: Row) -> Pair:
        if isinstance(self.data, SyntheticMixin):
            self.data.set_epoch((row.step * self.settings.batch_size + row.number) // len(self.case_ids))
        image, label = self.data[self.case_ids.index(row.case_id)]
        if self.settings.patch is not None:
            image, label = pad_to(image, self.settings.patch, AIR), pad_to(label, self.settings.patch, 0)
        return self.augment(image, label, self.settings, self.seed, row.step, row.number)
