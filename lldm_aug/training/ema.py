"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Ema:
    """Averages a module's parameters.

    Args:
        module: the module, trainable and frozen parameters alike.
        decay: share of the average that a step keeps; early steps keep less, (1 + n) / (10 + n).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the average towards the module's parameters after a step (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = dict(module.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - decay)

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Lends the average to the module, which gets its own parameters back afterwards."""
        own = {name: p.detach().clone() for name, p in module.named_parameters()}
        _fill(module, self.average)
        try:
            yield
        finally:
            _fill(module, own)


@torch.no_grad()
def _fill(module: nn.Module, values: dict[str, torch.Tensor]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(values[name])
