"""What the loop needs to know of a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from lldm_aug.config.stages import StageSettings
from lldm_aug.training.choice import Score
from lldm_aug.training.order import Row

Loss = tuple[torch.Tensor, dict[str, float]]
"""What gradients are taken of, and figures to log."""


class Trainee(Protocol):
    """A network that the loop can train, whichever way."""

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

    def preview(self, path: Path) -> None:
        """Draws a picture of what the module does now (the loop has put the averaged weights in)."""

    def export(self, folder: Path) -> None:
        """Writes the finished stage (averaged weights are in)."""


class Stage(Trainee, Protocol):
    """One network and the loss that it is trained by."""

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> Loss:
        """Mean loss over rows, and figures to log. ``model`` is the module, perhaps wrapped for several processes."""


@dataclass(frozen=True)
class AdversarialUpdate:
    """One update within a step of a `AdversarialStage`: one part of the module learns, all others stand still.

    Args:
        part: what learns.
        loss: mean loss over rows, and figures to log.
        rate: learning rate, as a multiple of the stage's.
        betas: of AdamW.
    """

    part: nn.Module
    loss: Callable[[list[Row], torch.device], Loss]
    rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)


@runtime_checkable
class AdversarialStage(Trainee, Protocol):
    """Networks that are trained against each other."""

    @property
    def updates(self) -> tuple[AdversarialUpdate, ...]:
        """The updates of a step, in order; their parts share no parameters."""


@runtime_checkable
class HalfLabelledStage(Trainee, Protocol):
    """A stage half of whose batches are cases without a mask, if there are any."""

    @property
    def unlabelled_ids(self) -> tuple[str, ...]:
        """These cases; see `batch_rows`."""


@runtime_checkable
class ScoredStage(Stage, Protocol):
    """A stage whose exported weights are chosen by a score."""

    @property
    def score_every(self) -> int:
        """Steps between scores; 0 for none."""

    def score(self) -> Score | None:
        """How good the module is now (the loop has put the averaged weights in); None if that cannot be said."""
