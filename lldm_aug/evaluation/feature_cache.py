"""Features of each volume, computed once and kept under a hash of everything that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.evaluation.slices import slices_of
from lldm_aug.io.atomic import atomic_file
from lldm_aug.io.weights import load_tensors, save_tensors

CaseFeatures = dict[str, np.ndarray]
"""Features (N, D) float32 of a case's slices, by plane."""


class FeatureCache:
    """Features on disk.

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
        self.folder = folder
        self.network = network
        self.stacks = stacks

    def of_case(self, case: ConformedCase) -> CaseFeatures:
        """Features of a case."""
        return self.features(self.stacks(case))

    def features(self, slices: dict[str, np.ndarray]) -> CaseFeatures:
        """Features of slices (N, height, width) by plane."""
        path = self.folder / f"{self._key(slices)}.safetensors"
        if not path.is_file():
            computed = {plane: torch.from_numpy(self.network.features(stack)) for plane, stack in slices.items()}
            with atomic_file(path) as temporary:
                save_tensors(temporary, computed)
        return {plane: tensor.numpy() for plane, tensor in load_tensors(path).items()}

    def _key(self, slices: dict[str, np.ndarray]) -> str:
        digest = hashlib.sha256(self.network.identity.encode())
        for plane, stack in slices.items():
            digest.update(f"{plane}{stack.shape}".encode())
            digest.update(np.ascontiguousarray(stack).tobytes())
        return digest.hexdigest()


def pooled(features: CaseFeatures) -> np.ndarray:
    """One vector a volume: the mean over the slices of each plane, the planes side by side."""
    return np.concatenate([features[plane].mean(axis=0) for plane in sorted(features)])
