"""Latents of all training cases, encoded once: mean and standard deviation, so that each step can draw afresh."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from monai.inferers.utils import sliding_window_inference

from lldm_aug.geometry import Box
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.records import read_record, refuse_changes
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.layers import Factors, depth_to_space, space_to_depth
from lldm_aug.record import Record
from lldm_aug.training.export import Export
from lldm_aug.training.prepared_cases import CaseSet

Moments = tuple[torch.Tensor, torch.Tensor]
"""Mean and standard deviation of latents."""
TILE_OVERLAP = 0.25
"""Of neighbouring windows that a case is encoded in."""


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
        compression: voxels per latent cell.
    """

    folder: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]
    compression: Factors = (1, 1, 1)

    def draw(self, case_id: str, generator: torch.Generator, box: Box | None = None) -> torch.Tensor:
        """A normalised draw (L, x, y, z) of a case's latent, or of the cells of a box of voxels."""
        cells = None if box is None else self._cells(box)
        moments = load_tensors(self.folder / f"{case_id}.safetensors", box=cells)
        noise = torch.randn(moments["mean"].shape, generator=generator)
        latent = moments["mean"].float() + moments["std"].float() * noise
        return self.normalise(latent)

    def normalise(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents (..., L, x, y, z) with mean 0 and variance 1 in each channel."""
        mean, std = (torch.tensor(values, device=latent.device).view(-1, 1, 1, 1) for values in (self.mean, self.std))
        return (latent - mean) / std

    def _cells(self, box: Box) -> Box:
        x, y, z = (slice(s.start // f, s.stop // f) for s, f in zip(box, self.compression, strict=True))
        return x, y, z


def cache_latents(cases: CaseSet, export: Export, autoencoder: Autoencoder, folder: Path) -> LatentCache:
    """Encodes all cases with a finished autoencoder, or finds them there from an earlier call.

    Raises:
        IncompatibleResume: when the folder holds latents of another autoencoder or other cases.
    """

    def encode(case_id: str) -> Moments:
        image = cases.load(case_id, cases.whole(case_id)).image[None].to(device)
        if cases.record.windows:
            return encode_in_windows(autoencoder, image, cases.record.shape, cases.record.compression)
        return autoencoder.encode(image)

    device = next(autoencoder.parameters()).device
    identity = {"autoencoder": export.hash, "cases": cases.record.request}
    cache = cache_moments(cases.case_ids, encode, identity, folder)
    return replace(cache, compression=cases.record.compression)


def encode_in_windows(
    autoencoder: Autoencoder, image: torch.Tensor, window: tuple[int, int, int], compression: Factors
) -> Moments:
    """Latent moments of an image of any size, from windows as the autoencoder knows them, blended where they overlap.

    Its normalisation looks at all that it is shown, so an image that is encoded at once would not give the latents of
    its windows.

    Args:
        autoencoder: the encoder.
        image: (B, C, X, Y, Z), sides multiples of the compression.
        window: voxels of a window.
        compression: voxels per latent cell.
    """

    def encode(cells: torch.Tensor) -> torch.Tensor:
        return torch.cat(autoencoder.encode(depth_to_space(cells, compression)), dim=1)

    sides = [n // f for n, f in zip(window, compression, strict=True)]
    cells = space_to_depth(image, compression)
    moments = sliding_window_inference(cells, sides, 1, encode, overlap=TILE_OVERLAP, mode="gaussian")
    mean, deviation = torch.as_tensor(moments).chunk(2, dim=1)
    return mean, deviation


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
    record = read_record(LatentRecord, path, fix="delete it and run again")
    refuse_changes(folder, record.identity, identity, fix="delete the folder, or choose another --out")
    if not record.mean:
        sums = [_encode(encode, name, folder, dtype) for name in names]
        first = torch.stack([s[0] for s in sums]).mean(0)
        second = torch.stack([s[1] for s in sums]).mean(0)
        mean, std = first.tolist(), (second - first**2).clamp(min=1e-12).sqrt().tolist()
        record = LatentRecord(identity=identity, mean=tuple(mean), std=tuple(std))
        write_json(path, record.model_dump(mode="json"))
    return LatentCache(folder, record.mean, record.std)


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
