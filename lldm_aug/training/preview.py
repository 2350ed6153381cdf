"""A picture of current samples during the diffusion stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lldm_aug.config.part import LatentConfig
from lldm_aug.config.schema import AutoencoderSettings
from lldm_aug.diffusion.sampler import Steered, guided, sample
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.trained_model import prefer_onednn
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.seeds import torch_rng
from lldm_aug.training.export import Export
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.missing_texture import Show
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase

NUM_SAMPLES = 3


def load_autoencoder(cases: CaseSet, sizes: AutoencoderSettings, export: Export) -> Autoencoder:
    """The finished first stage, ready to use."""
    channels = len(cases.record.dataset_json["channel_names"])
    autoencoder = Autoencoder(channels, len(cases.schema.names), cases.record.compression, sizes)
    export.fill("autoencoder", autoencoder)
    prefer_onednn(autoencoder)
    return autoencoder.eval()


def reconstructed(autoencoder: Autoencoder, cases: CaseSet, case_id: str, case: PreparedCase) -> torch.Tensor:
    """A case's scaled image (C, X, Y, Z), encoded and decoded."""
    device = next(autoencoder.parameters()).device
    condition = cases.condition([case_id], case.label[None].to(device))
    return autoencoder.decode(autoencoder.encode(case.image[None].to(device))[0], condition)[0][0]


@torch.no_grad()
def write_samples(
    path: Path,
    cases: CaseSet,
    config: LatentConfig[Any],
    first: Export,
    latents: LatentCache,
    predict: Steered,
    device: torch.device,
) -> None:
    """Real cases above samples for their masks; the same noise each time, so that pictures can be compared."""
    autoencoder = load_autoencoder(cases, config.autoencoder, first).to(device)
    mean, std = (torch.tensor(v, device=device).view(1, -1, 1, 1, 1) for v in (latents.mean, latents.std))

    def show(case_id: str, case: PreparedCase) -> torch.Tensor:
        generator = torch_rng(config.seed, "preview", case_id)
        cells = [n // f for n, f in zip(case.label.shape, cases.record.compression, strict=True)]
        noise = torch.randn(1, len(latents.mean), *cells, generator=generator)
        condition = cases.condition([case_id], case.label[None]).to(device)
        steered = guided(predict, condition, None, 1)
        latent = sample(steered, noise.to(device), config.objective, config.sampling, generator)
        return autoencoder.decode(latent * std + mean, condition)[0][0]

    write_shown(path, cases, show)


@torch.no_grad()
def write_shown(path: Path, cases: CaseSet, show: Show) -> None:
    """Real cases above what a network shows for their masks."""
    rows = []
    for case_id in cases.case_ids[:NUM_SAMPLES]:
        case = cases.load(case_id)
        for caption, shown in ((case_id, case.image), ("generated", show(case_id, case).cpu())):
            rows.append(MosaicRow(shown[0].numpy(), case.label.numpy(), cases.record.spacing_mm, caption))
    write_mosaic(path, rows, title="Real, and generated for the same mask", schema=cases.schema)
