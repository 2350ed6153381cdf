"""What the two diffusion baselines have in common: the mask is concatenated to what is noisy."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from lldm_aug.baselines.stage import BaselineConfig, BaselineStage
from lldm_aug.config.stages import ConcatenatedTrainSettings
from lldm_aug.diffusion.objective import make_objective
from lldm_aug.models.condition import drop_structures
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.diffusion import Clean, draw_latents
from lldm_aug.training.losses import counted_mean, structure_weights
from lldm_aug.training.order import Row, kept_structures
from lldm_aug.training.stage import Loss

ConcatenatedConfig = BaselineConfig[ConcatenatedTrainSettings]


class ConcatenatedBaseline(BaselineStage):
    """Trains a denoiser by the generator's own objective, places with structures weighing more, as they do there.

    Args:
        cases: training cases.
        config: its settings.
    """

    def __init__(self, cases: CaseSet, config: ConcatenatedConfig) -> None:
        super().__init__(cases, config)
        self.settings = config.train
        self.objective = make_objective(config.objective)

    @property
    @abstractmethod
    def clean(self) -> Clean:
        """What is learnt."""

    @abstractmethod
    def occupancy(self, condition: torch.Tensor) -> torch.Tensor:
        """The condition (B, S, X, Y, Z) on the grid of what is learnt."""

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> Loss:
        """See `Stage.loss`."""
        boxes = self.cases.drawn(rows, self.config.seed, self.name)
        drawn = draw_latents(self.clean, self.objective, rows, self.config.seed, self.name, device, boxes)
        noised = self.objective.noised(*drawn)
        labels = torch.stack([self.cases.load_label(row.case_id, box) for row, box in zip(rows, boxes, strict=True)])
        condition = self.cases.condition([row.case_id for row in rows], labels.to(device))
        kept = kept_structures(len(self.cases.schema.names), self.settings, self.config.seed, self.name, rows)
        prediction = model(noised.noisy, noised.times, drop_structures(condition, kept.to(device)))
        error = self.objective.error(prediction, noised)
        weights = structure_weights(self.occupancy(condition), self.settings.structure_weight)
        counted = self.cases.counted(rows, boxes)
        counted = None if counted is None else self.occupancy(counted.to(device))
        return counted_mean(weights * error, counted), {"unweighted": counted_mean(error, counted).item()}
