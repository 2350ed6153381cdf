"""From noise to latents with the solvers of diffusers, and classifier-free guidance (arXiv 2207.12598) on the mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from lldm_aug.config.schema import ObjectiveSettings, SamplingSettings
from lldm_aug.diffusion.objective import BETA_RANGE, TIME_SCALE, NoisePrediction, make_flow

Prediction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps (noisy latents (B, ...), network times (B,)) to what the objective predicts."""


@dataclass(frozen=True)
class Known:
    """Latents of which one part is given, as in inpainting.

    Args:
        clean: (B, L, ...) latents; those outside of ``cells`` matter only if ``strength`` is below 1.
        cells: (B, 1, ...) booleans, True where they are known.
        strength: where on the path to noise the other part starts: at 1 nothing of ``clean`` is left in it.
    """

    clean: torch.Tensor
    cells: torch.Tensor
    strength: float = 1.0


def make_scheduler(objective: ObjectiveSettings, sampling: SamplingSettings) -> Any:
    """A diffusers scheduler with its steps set. Clipping of samples, their default, is wrong for latents and off."""
    import diffusers

    if objective.kind != "ddpm":
        flow: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        flow["flow_shift"] = objective.shift
        make: dict[str, Callable[[], Any]] = {
            "unipc": lambda: diffusers.UniPCMultistepScheduler(**flow),
            "dpmpp": lambda: diffusers.DPMSolverMultistepScheduler(**flow),
            "euler": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=objective.shift),
        }
    else:
        betas: dict[str, Any] = {
            "num_train_timesteps": objective.ddpm_steps,
            "beta_start": BETA_RANGE[0],
            "beta_end": BETA_RANGE[1],
            "beta_schedule": "scaled_linear",
        }
        make = {
            "unipc": lambda: diffusers.UniPCMultistepScheduler(**betas),
            "dpmpp": lambda: diffusers.DPMSolverMultistepScheduler(**betas),
            "ddpm": lambda: diffusers.DDPMScheduler(clip_sample=False, **betas),
        }
    scheduler = make[sampling.solver]()
    scheduler.set_timesteps(sampling.steps)
    return scheduler


@torch.inference_mode()
def sample(
    predict: Prediction,
    noise: torch.Tensor,
    objective: ObjectiveSettings,
    sampling: SamplingSettings,
    generator: torch.Generator | None = None,
    known: Known | None = None,
) -> torch.Tensor:
    """Solves from standard normal noise (B, ...) to samples of the same shape.

    Where a latent is given, the prediction is replaced by the given value, so that the path of any solver leads there.
    At each noise level the network sees the given part with the noise of that level; at the end it is the given part.

    Args:
        predict: the trained prediction.
        noise: the start; the only random input but for the ``ddpm`` solver.
        objective: what ``predict`` was trained for.
        sampling: solver and steps.
        generator: fresh noise of the ``ddpm`` solver (on the CPU).
        known: the part of the result that is given, and how much noise the rest starts from.
    """
    scheduler = make_scheduler(objective, sampling)
    flow = make_flow(objective.model_copy(update={"detail": objective.detail * sampling.detail}))
    path = flow or NoisePrediction(objective.ddpm_steps)
    first = 0 if known is None else _first_step(len(scheduler.timesteps), known.strength)
    latent = noise
    for i, timestep in list(enumerate(scheduler.timesteps))[first:]:
        # Schedulers round flow times to whole numbers; the network gets the exact one.
        time = float(timestep) if flow is None else float(scheduler.sigmas[i]) * TIME_SCALE
        times = torch.full((len(latent),), time, device=latent.device)
        if i == first > 0 and known is not None:
            if hasattr(scheduler, "set_begin_index"):  # the ancestral one goes by its times alone
                scheduler.set_begin_index(first)
            latent = path.corrupt(known.clean, noise, times)
        prediction = predict(latent, times)
        if flow is not None:
            prediction = flow.velocity(prediction, latent, times)
        if known is not None:
            prediction = torch.where(known.cells, path.implied(known.clean, latent, times), prediction)
        extra = {"generator": generator} if sampling.solver == "ddpm" else {}
        latent = scheduler.step(prediction, timestep, latent, return_dict=False, **extra)[0]
    return latent


def _first_step(steps: int, strength: float) -> int:
    """The step to begin with so that about ``strength`` of the steps are taken, and one at least."""
    return min(steps - 1, round(steps * (1 - strength)))


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
