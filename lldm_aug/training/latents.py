"""Latents of all training cases, encoded once: mean and standard deviation, so that each step can draw afresh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from lldm_aug.errors import CheckpointError, IncompatibleResume
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.record import Record
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.export import Export


class LatentRecord(Record):
    """What ``latents.json`` holds.

    Args:
        identity: hashes of the autoencoder and of the prepared cases.
        mean: see `LatentCache`.
        std: likewise.
    """

    identity: dict[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class LatentCache:
    """Latent moments on disk.

    Args:
        folder: one safetensors file a case.
        mean: mean of each latent channel over cases and cells.
        std: standard deviation of each latent channel, the encoder's own spread included.
    """

    folder: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def draw(self, case_id: str, generator: torch.Generator) -> torch.Tensor:
        """A normalised draw (L, x, y, z) of a case's latent."""
        moments = load_tensors(self.folder / f"{case_id}.safetensors")
        noise = torch.randn(moments["mean"].shape, generator=generator)
        latent = moments["mean"].float() + moments["std"].float() * noise
        shape = (-1, 1, 1, 1)
        return (latent - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)


def cache_latents(cases: CaseSet, export: Export, autoencoder: Autoencoder, folder: Path) -> LatentCache:
    """Encodes all cases with a finished autoencoder, or finds them there from an earlier call.

    Raises:
        IncompatibleResume: when the folder holds latents of another autoencoder or other cases.
    """
    path = folder / "latents.json"
    identity = {"autoencoder": export.hash, "cases": cases.record.request}
    if path.exists():
        known = _read_record(path)
        if known.identity != identity:
            raise IncompatibleResume(
                "holds latents of another autoencoder or of other cases",
                where=folder,
                fix="delete the folder, or choose another --out",
            )
        return LatentCache(folder, known.mean, known.std)
    sums = [_encode(cases, case_id, autoencoder, folder) for case_id in cases.case_ids]
    first = torch.stack([s[0] for s in sums]).mean(0)
    second = torch.stack([s[1] for s in sums]).mean(0)
    mean, std = first.tolist(), (second - first**2).clamp(min=1e-12).sqrt().tolist()
    record = LatentRecord(identity=identity, mean=tuple(mean), std=tuple(std))
    write_json(path, record.model_dump(mode="json"))
    return LatentCache(folder, record.mean, record.std)


def _read_record(path: Path) -> LatentRecord:
    try:
        return LatentRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise CheckpointError(f"invalid ({fault})", where=path, fix="delete it and run again") from error


@torch.no_grad()
def _encode(cases: CaseSet, case_id: str, autoencoder: Autoencoder, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Writes a case's moments; returns each channel's first and second moment over cells."""
    device = next(autoencoder.parameters()).device
    mean, std = (t[0].cpu() for t in autoencoder.encode(cases.load(case_id).image[None].to(device)))
    with atomic_file(folder / f"{case_id}.safetensors") as temporary:
        save_tensors(temporary, {"mean": mean, "std": std})
    return mean.double().flatten(1).mean(1), (mean**2 + std**2).double().flatten(1).mean(1)
