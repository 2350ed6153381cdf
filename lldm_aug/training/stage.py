"""What the loop needs to know of a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from lldm_aug.config.schema import StageSettings
from lldm_aug.training.choice import Score
from lldm_aug.training.order import Row


class Stage(Protocol):
    """One network and how it is trained."""

    @property
    def name(self) -> str:
        """Names its folder and its random numbers."""

    @property
    def settings(self) -> StageSettings:
        """Of its optimisation."""

    @property
    def module(self) -> nn.Module:
        """The network; the loop trains its parameters that require gradients."""

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Cases to draw from."""

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean loss over rows, and figures to log. ``model`` is the module, perhaps wrapped for several processes."""

    def preview(self, path: Path) -> None:
        """Draws a picture of what the module does now (the loop has put the averaged weights in)."""

    def export(self, folder: Path) -> None:
        """Writes the finished stage (averaged weights are in)."""


@runtime_checkable
class ScoredStage(Stage, Protocol):
    """A stage whose exported weights are chosen by a score."""

    @property
    def score_every(self) -> int:
        """Steps between scores; 0 for none."""

    def score(self) -> Score | None:
        """How good the module is now (the loop has put the averaged weights in); None if that cannot be said."""
