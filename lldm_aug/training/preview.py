"""A picture of current samples during the diffusion stages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from lldm_aug.config.schema import Config
from lldm_aug.diffusion.sampler import sample
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.report.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import torch_rng
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.export import Export
from lldm_aug.training.latents import LatentCache

NUM_SAMPLES = 3
Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps noisy latents, network times and the condition to the denoiser's prediction."""


def load_autoencoder(cases: CaseSet, config: Config, export: Export) -> Autoencoder:
    """The finished first stage, ready to use."""
    channels = len(cases.record.dataset_json["channel_names"])
    autoencoder = Autoencoder(channels, len(cases.schema.names), cases.record.compression, config.autoencoder)
    export.fill("autoencoder", autoencoder)
    return autoencoder.eval()


@torch.no_grad()
def write_samples(
    path: Path,
    cases: CaseSet,
    config: Config,
    first: Export,
    latents: LatentCache,
    predict: Predict,
    device: torch.device,
) -> None:
    """Real cases above samples for their masks; the same noise each time, so that pictures can be compared."""
    autoencoder = load_autoencoder(cases, config, first)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (latents.mean, latents.std))
    rows = []
    for case_id in cases.case_ids[:NUM_SAMPLES]:
        case = cases.load(case_id)
        generator = torch_rng(config.seed, "preview", case_id)
        noise = torch.randn(latents.draw(case_id, generator)[None].shape, generator=generator)
        condition = cases.condition([case_id], case.label[None])
        steered = functools.partial(_steered, predict, condition.to(device))
        latent = sample(steered, noise.to(device), config.objective, config.sampling, generator).cpu()
        image, _ = autoencoder.decode(latent * std + mean, condition)
        for caption, shown in ((case_id, case.image), ("generated", image[0])):
            rows.append(MosaicRow(shown[0].numpy(), case.label.numpy(), cases.record.spacing_mm, caption))
    write_mosaic(path, rows, title="Real, and generated for the same mask", schema=cases.schema)


def _steered(predict: Predict, condition: torch.Tensor, latent: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    return predict(latent, time, condition)
