"""Latents of all training cases, encoded once: mean and standard deviation, so that each step can draw afresh."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
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

Moments = tuple[torch.Tensor, torch.Tensor]
"""Mean and standard deviation of latents."""


class LatentRecord(Record):
    """What ``latents.json`` holds.

    Args:
        identity: hashes of the autoencoder and of the prepared cases.
        mean: see `LatentCache`; empty until everything is encoded.
        std: likewise.
    """

    identity: dict[str, str]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


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

    def encode(case_id: str) -> Moments:
        return autoencoder.encode(cases.load(case_id).image[None].to(device))

    device = next(autoencoder.parameters()).device
    identity = {"autoencoder": export.hash, "cases": cases.record.request}
    return cache_moments(cases.case_ids, encode, identity, folder)


def cache_moments(
    names: Sequence[str],
    encode: Callable[[str], Moments],
    identity: dict[str, str],
    folder: Path,
    dtype: torch.dtype | None = None,
) -> LatentCache:
    """Encodes whatever has a name, or finds its latents in the folder from an earlier call, finished or not.

    Args:
        names: file names without ending.
        encode: gives the mean and deviation (1, L, x, y, z) of a name.
        identity: hashes of all that decides the latents.
        folder: one file a name, and ``latents.json``.
        dtype: type of what is stored.

    Raises:
        IncompatibleResume: when the folder holds latents of another identity.
    """
    path = folder / "latents.json"
    if not path.exists():
        shutil.rmtree(folder, ignore_errors=True)  # nothing says whose these files would be
        write_json(path, LatentRecord(identity=identity).model_dump(mode="json"))
    record = _read_record(path)
    if record.identity != identity:
        raise IncompatibleResume(
            "holds latents of another autoencoder or of other cases",
            where=folder,
            fix="delete the folder, or choose another --out",
        )
    if not record.mean:
        sums = [_encode(encode, name, folder, dtype) for name in names]
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
def _encode(
    encode: Callable[[str], Moments], name: str, folder: Path, dtype: torch.dtype | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Writes the moments of one name if they are not there; returns each channel's first and second moment."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        mean, std = (t[0].cpu() for t in encode(name))
        with atomic_file(path) as temporary:
            save_tensors(temporary, {"mean": mean, "std": std}, dtype)
    stored = load_tensors(path)
    mean, std = stored["mean"].float(), stored["std"].float()
    return mean.double().flatten(1).mean(1), (mean**2 + std**2).double().flatten(1).mean(1)
