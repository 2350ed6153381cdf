"""Pools that are made to be measured: pairs for held-out masks, each timed, and a control of images from pure noise."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.diffusion.sampler import Known
from lldm_aug.io.atomic import append_json_line, read_json_lines
from lldm_aug.models.generator import Generator
from lldm_aug.models.image_model import ImageModel
from lldm_aug.pool.writer import case_name, open_pool
from lldm_aug.synthesis.generate import generate, missing_indices
from lldm_aug.synthesis.generation_plan import MaskRequest, describe_pool
from lldm_aug.synthesis.synthetic_case import make_case


class Steps:
    """Counts the steps of a command that has several parts.

    Args:
        report: is told the number of steps done and what is going on.
    """

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._done = 0

    def tell(self, note: str, count: int = 1) -> None:
        """So many more steps are done."""
        self._done += count
        self._report(self._done, note)


def make_pool(folder: Path, model: ImageModel, masks: MaskRequest, seed: int, n: int, steps: Steps) -> list[float]:
    """Makes the pairs that a pool lacks, as the model is sampled by itself.

    Args:
        folder: the pool's; the seconds of each pair are kept beside it.
        model: makes images for masks.
        masks: which.
        seed: of the pool.
        n: pairs.
        steps: are told of each pair, and at once of those that were made before.

    Returns:
        Seconds that each pair took, files written; those that a crash left without are missing.

    Raises:
        IncompatibleResume: when the pool was begun with other settings.
    """
    description, timings, note = model.description, folder.with_suffix(".jsonl"), f"generating: {folder.name}"
    open_pool(folder, describe_pool(description, model.hash, masks, seed, description.sampling))
    todo = missing_indices(folder, n, seed)
    steps.tell(note, n - len(todo))
    start = time.perf_counter()
    make = partial(make_case, model, masks.source(description), description.sampling)
    for case in generate(make, folder, seed, todo):
        now = time.perf_counter()
        append_json_line(timings, {"case": case.case_id, "seconds": now - start})
        start = now
        steps.tell(note)
    by_case = {line["case"]: float(line["seconds"]) for line in read_json_lines(timings)}
    names = [case_name(seed, index) for index in range(n)]
    return [by_case[name] for name in names if name in by_case]


class NoiseLatents(Generator):
    """The control of a generator, whose denoiser is left out: latents are the noise that sampling would start from.

    A decoder that sees the mask can paint it, and then scores well against it whatever the latent says. Only what a
    generator's own images score beyond this control, in mask consistency and in likeness, is the diffusion model's
    doing.
    """

    @classmethod
    def of(cls, generator: Generator) -> NoiseLatents:
        """The control of a generator, sharing its weights; it has a hash of its own."""
        name = hashlib.sha256(f"noise {generator.hash}".encode()).hexdigest()
        return cls(generator.description, generator.autoencoder, generator.network, hash=name)

    def latent(
        self,
        condition: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings,
        rng: torch.Generator | None = None,
        known: Known | None = None,
    ) -> torch.Tensor:
        """The noise itself: normalised latents have its mean and variance."""
        return noise if known is None else torch.where(known.cells, known.clean, noise)
