"""From noise to latents with the solvers of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lldm_aug.config.schema import ObjectiveSettings, SamplingSettings
from lldm_aug.diffusion.objective import BETA_RANGE, TIME_SCALE, make_flow

Prediction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps (noisy latents (B, ...), network times (B,)) to what the objective predicts."""


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
) -> torch.Tensor:
    """Solves from standard normal noise (B, ...) to samples of the same shape.

    Args:
        predict: the trained prediction.
        noise: the start; the only random input but for the ``ddpm`` solver.
        objective: what ``predict`` was trained for.
        sampling: solver and steps.
        generator: fresh noise of the ``ddpm`` solver (on the CPU).
    """
    scheduler = make_scheduler(objective, sampling)
    flow = make_flow(objective.model_copy(update={"detail": objective.detail * sampling.detail}))
    latent = noise
    for i, timestep in enumerate(scheduler.timesteps):
        # Schedulers round flow times to whole numbers; the network gets the exact one.
        time = float(timestep) if flow is None else float(scheduler.sigmas[i]) * TIME_SCALE
        times = torch.full((len(latent),), time, device=latent.device)
        prediction = predict(latent, times)
        if flow is not None:
            prediction = flow.velocity(prediction, latent, times)
        extra = {"generator": generator} if sampling.solver == "ddpm" else {}
        latent = scheduler.step(prediction, timestep, latent, return_dict=False, **extra)[0]
    return latent
