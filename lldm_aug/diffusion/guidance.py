"""Classifier-free guidance (arXiv 2207.12598) on the mask."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lldm_aug.diffusion.sampler import Prediction

Steered = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps noisy latents (B, ...), network times (B,) and what is known of the masks (B, ...) to a prediction."""


def guided(predict: Steered, told: torch.Tensor, untold: torch.Tensor | None, strength: float) -> Prediction:
    """What a sampler needs of a network that is steered.

    Args:
        predict: the network.
        told: what it is told of the masks.
        untold: what it is told when masks are withheld; None for no guidance.
        strength: 1 is no guidance.
    """
    if untold is None:
        return lambda noisy, time: predict(noisy, time, told)
    both = torch.cat([untold, told])

    def prediction(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        without, with_mask = predict(torch.cat([noisy, noisy]), time.repeat(2), both).chunk(2)
        return without + strength * (with_mask - without)

    return prediction
