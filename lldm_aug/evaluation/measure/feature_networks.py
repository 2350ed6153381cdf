"""The feature networks that a user can choose, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from lldm_aug.evaluation.measure.features import FeatureCache

OWN_WEIGHTS = "effnet"
NETWORKS = (OWN_WEIGHTS, "inception", "radimagenet", "medicalnet")


@dataclass(frozen=True)
class NetworkChoice:
    """A network.

    Args:
        name: one of `NETWORKS`.
        weights: its weights; None for the one whose weights come with a package.
    """

    name: str
    weights: Path | None = None

    def open(self, folder: Path, device: torch.device | str) -> FeatureCache:
        """Loads it; features are kept in a folder.

        Raises:
            CheckpointError: when the weights do not fit.
            ConfigError: when a package is missing.
        """
        from lldm_aug.evaluation.measure.features import EfficientNetLite0, FeatureCache, volumes_of

        if self.weights is None:
            return FeatureCache(folder, EfficientNetLite0(device))
        from lldm_aug.evaluation.measure.pretrained_networks import MedicalNet, inception, radimagenet

        if self.name == "medicalnet":
            return FeatureCache(folder, MedicalNet(self.weights, device), volumes_of)
        network = {"inception": inception, "radimagenet": radimagenet}[self.name]
        return FeatureCache(folder, network(self.weights, device))


OWN_NETWORK = NetworkChoice(OWN_WEIGHTS)


def open_networks(choices: Sequence[NetworkChoice], folder: Path, device: torch.device | str) -> list[FeatureCache]:
    """Loads networks, which keep what they compute in a folder; errors as `NetworkChoice.open`."""
    return [choice.open(folder, device) for choice in choices]


def choose_networks(names: Sequence[str], weights: Sequence[Path]) -> tuple[NetworkChoice, ...]:
    """Networks in the order of their names; files of weights are taken in the order of the networks that need one.

    Raises:
        ConfigError: for more or fewer files than that, or a network named twice.
    """
    needing = [name for name in names if name != OWN_WEIGHTS]
    if len(needing) != len(weights):
        found = f"{len(weights)} files of weights for {len(needing)} networks that need one"
        raise ConfigError(found, where="--weights", fix="give --weights FILE once for each of them, in their order")
    if len({*names}) < len(names):
        raise ConfigError("a network is named twice", where="--network", fix="name each once")
    files = iter(weights)
    return tuple(NetworkChoice(name, None if name == OWN_WEIGHTS else next(files)) for name in names)
