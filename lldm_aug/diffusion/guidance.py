"""Classifier-free guidance (arXiv 2207.12598) on the mask."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lldm_aug.diffusion.sampler import Prediction

Steered = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps noisy latents (B, ...), network times (B,) and a condition (B, ...) to a prediction."""


def guided(predict: Steered, told: torch.Tensor, untold: torch.Tensor | None, strength: float) -> Prediction:
    """The prediction of a conditioned network, with guidance, as a sampler calls it.

    Args:
        predict: the network.
        told: the condition that it is given.
        untold: the condition with masks withheld; None for no guidance.
        strength: 1 is no guidance.
    """
    if untold is None:
        return lambda noisy, time: predict(noisy, time, told)
    both = torch.cat([untold, told])

    def prediction(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        without, with_mask = predict(torch.cat([noisy, noisy]), time.repeat(2), both).chunk(2)
        return without + strength * (with_mask - without)

    return prediction
