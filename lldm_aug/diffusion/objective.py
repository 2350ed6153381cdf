"""Training objectives: rectified flow, whose network predicts velocities or clean latents, and DDPM."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lldm_aug.config.schema import ObjectiveSettings

TIME_SCALE = 1000.0
"""Networks see flow times 0..1 as 0..1000, the range their sinusoidal embedding is made for."""


SHORTEST_TIME = 0.1
"""Smaller flow times count as this one in the error of `CleanPrediction`, or few samples would outweigh all others."""
STRONGEST = 20.0
"""Bound of the second output of `SkippedPrediction`, so that its exponential stays finite and above 0."""


@dataclass(frozen=True)
class Noised:
    """Latents made noisy.

    Args:
        noisy: (B, ...) what the network sees.
        times: (B,) network times.
        clean: (B, ...) what it is made of.
        noise: likewise.
    """

    noisy: torch.Tensor
    times: torch.Tensor
    clean: torch.Tensor
    noise: torch.Tensor


class Objective(ABC):
    """What the denoiser is asked to predict."""

    @abstractmethod
    def draw_times(self, generator: torch.Generator, count: int) -> torch.Tensor:
        """(count,) network times."""

    @abstractmethod
    def corrupt(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Noisy latents (B, ...) at these network times."""

    @abstractmethod
    def clean(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The clean latents (B, ...) that a prediction implies."""

    @abstractmethod
    def implied(self, clean: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """What a solver follows from noisy latents to clean ones: the velocity of a flow, or the noise of DDPM."""

    @abstractmethod
    def error(self, prediction: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Squared error of each number in (B, ...)."""

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> Noised:
        """What `error` needs to know."""
        return Noised(self.corrupt(clean, noise, times), times, clean, noise)


class RectifiedFlow(Objective):
    """Straight paths x_t = (1 - t) x_0 + t e, target e - x_0 (arXiv 2209.03003); logit-normal t (arXiv 2403.03206).

    Args:
        shift: multiplies the odds of the times.
        spread: standard deviation of the logarithm of these odds.
    """

    def __init__(self, shift: float = 1.0, spread: float = 1.0) -> None:
        self.shift, self.spread = shift, spread

    def draw_times(self, generator: torch.Generator, count: int) -> torch.Tensor:
        """(count,) times in (0, 1000), densest where the odds t : (1 - t) are the shift."""
        odds = self.spread * torch.randn(count, generator=generator) + math.log(self.shift)
        return torch.sigmoid(odds) * TIME_SCALE

    def corrupt(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Points on the straight path from clean latents to noise."""
        t = _flow_times(times, clean)
        return (1 - t) * clean + t * noise

    def clean(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The start of the straight path that has the predicted velocity."""
        return noisy - _flow_times(times, noisy) * prediction

    def implied(self, clean: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The velocity, at times above 0."""
        return (noisy - clean) / _flow_times(times, noisy)

    def error(self, prediction: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Squared error of the velocity."""
        return (prediction - (noised.noise - noised.clean)) ** 2

    def velocity(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The velocity that a prediction at times above 0 amounts to."""
        return self.implied(self.clean(prediction, noisy, times), noisy, times)


class CleanPrediction(RectifiedFlow):
    """Rectified flow whose network predicts the clean latent x_0 (arXiv 2511.13720).

    Latents with many channels are learnt in a fraction of the steps that way. A velocity contains the noise, which a
    network that is narrower than the latent cannot pass on, while the clean latent is far simpler. The error is that of
    the velocity which follows from the prediction, (x_t - x_0) / t.
    """

    def clean(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The prediction itself."""
        return prediction

    def error(self, prediction: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Squared error of the velocity; bounded, since it is infinite at t = 0."""
        missed = self.clean(prediction, noised.noisy, noised.times) - noised.clean
        return (missed / _flow_times(noised.times, missed).clamp(min=SHORTEST_TIME)) ** 2


class SkippedPrediction(CleanPrediction):
    """`CleanPrediction` with a skip connection for faint detail (preconditioning, arXiv 2206.00364).

    Most of a latent's variance lies in few of its directions. A network as narrow as the latent does not pass on the
    others, even where hardly any noise is left, and images come out blurred. So the clean latent is predicted as

        F + c (x_t / (1 - t) - F),    c = d^2 / (d^2 + s^2),    s = t / (1 - t),    d = detail exp(G / 2),

    where F and G are two outputs of the network for each number of the latent. The difference of x_t / (1 - t) and F
    consists of detail that F misses, with standard deviation d, and of noise, with standard deviation s; c is the
    fraction of its variance that is detail. With G the network says where detail is strong, as along an edge, and where
    there is none, as in the air, which would otherwise stay noisy.

    Args:
        shift: see `RectifiedFlow`.
        spread: likewise.
        detail: d where G is 0, in standard deviations of the latent.
    """

    def __init__(self, shift: float = 1.0, spread: float = 1.0, detail: float = 0.15) -> None:
        super().__init__(shift, spread)
        self.detail = detail

    def clean(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The prediction F plus the fraction c of what F misses."""
        t = _flow_times(times, noisy)
        own, strength = prediction.float().chunk(2, dim=1)
        detail = self.detail**2 * strength.clamp(-STRONGEST, STRONGEST).exp()
        whole = detail * (1 - t) ** 2 + t**2
        return detail * (1 - t) / whole * noisy + t**2 / whole * own


class NoisePrediction(Objective):
    """DDPM (arXiv 2006.11239) with the scaled-linear variances of latent diffusion (arXiv 2112.10752)."""

    def __init__(self, steps: int) -> None:
        betas = torch.linspace(BETA_RANGE[0] ** 0.5, BETA_RANGE[1] ** 0.5, steps) ** 2
        self.alphas_cumprod = torch.cumprod(1 - betas, dim=0)

    def draw_times(self, generator: torch.Generator, count: int) -> torch.Tensor:
        """(count,) whole numbers, uniform over the schedule."""
        return torch.randint(len(self.alphas_cumprod), (count,), generator=generator).float()

    def corrupt(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """A mixture of clean latents and noise with unit variance."""
        alpha = self._alpha(clean, times)
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise

    def clean(self, prediction: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The noisy latents with the predicted noise removed."""
        alpha = self._alpha(noisy, times)
        return (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt()

    def implied(self, clean: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The noise."""
        alpha = self._alpha(noisy, times)
        return (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()

    def error(self, prediction: torch.Tensor, noised: Noised) -> torch.Tensor:
        """Squared error of the noise."""
        return (prediction - noised.noise) ** 2

    def _alpha(self, like: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return self.alphas_cumprod.to(like)[times.long()].view(-1, *[1] * (like.ndim - 1))


BETA_RANGE = (0.0015, 0.0195)


def make_flow(settings: ObjectiveSettings) -> RectifiedFlow | None:
    """The flow that the settings name; None if it is none."""
    make: dict[str, Callable[[], RectifiedFlow]] = {
        "skip": lambda: SkippedPrediction(settings.shift, settings.spread, settings.detail),
        "clean": lambda: CleanPrediction(settings.shift, settings.spread),
        "flow": lambda: RectifiedFlow(settings.shift, settings.spread),
    }
    return make[settings.kind]() if settings.kind in make else None


def make_objective(settings: ObjectiveSettings) -> Objective:
    """The objective that the settings name."""
    return make_flow(settings) or NoisePrediction(settings.ddpm_steps)


def _flow_times(times: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Network times (B,) as 0..1, in a shape that goes with (B, ...)."""
    return (times / TIME_SCALE).view(-1, *[1] * (like.ndim - 1))
