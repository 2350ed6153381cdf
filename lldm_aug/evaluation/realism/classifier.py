"""A small 3D network that learns to tell painted lesions from real ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lldm_aug.evaluation.realism import STEPS
from lldm_aug.evaluation.realism.patches import SHIFT, Patch
from lldm_aug.seeds import Part, derive_seed, numpy_rng

CHANNELS = (8, 16, 32)
BATCH = 16
LEARNING_RATE = 3e-3
LEAST_HALVED = 8
"""A side of fewer voxels is not halved any more."""
LARGE_SIDE = 20
"""A side of as many voxels is halved by the first convolution already."""


class PatchNetwork(nn.Module):
    """Three convolutions, the mean and the maximum over the patch, and one number.

    Args:
        channels: of the image.
        side: voxels of a patch along (X, Y, Z).
    """

    def __init__(self, channels: int, side: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sides, stride = list(side), [2 if n >= LARGE_SIDE else 1 for n in side]
        for width in CHANNELS:
            x, y, z = stride
            convolution = nn.Conv3d(channels, width, 3, (x, y, z), padding=1, bias=False)
            layers += [convolution, nn.BatchNorm3d(width), nn.ReLU()]
            sides = [-(-n // s) for n, s in zip(sides, stride, strict=True)]
            stride = [2 if n >= LEAST_HALVED else 1 for n in sides]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B,) that patches (B, C, x, y, z) are painted."""
        found = self.layers(image).flatten(2)
        logit: Tensor = self.head(torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1))[:, 0]
        return logit


def train_classifier(
    real: Sequence[Patch], painted: Sequence[Patch], *seed: Part, device: torch.device | str = "cpu", steps: int = STEPS
) -> PatchNetwork:
    """A network that tells painted patches from real ones; half of each batch is of either kind."""
    channels, *wide = real[0].image.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*seed, "weights"))  # layers draw their weights from the global generator
        network = PatchNetwork(channels, [n - 2 * SHIFT for n in wide]).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = numpy_rng(*seed, "batches")
    target = torch.tensor([0.0, 1.0], device=device).repeat_interleave(BATCH // 2)
    network.train()
    for _ in range(steps):
        chosen = [kind[int(i)] for kind in (real, painted) for i in rng.integers(len(kind), size=BATCH // 2)]
        batch = np.stack([_augmented(patch.image, rng) for patch in chosen])
        loss = F.binary_cross_entropy_with_logits(network(torch.from_numpy(batch).to(device)), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def scores(network: PatchNetwork, patches: Sequence[Patch], device: torch.device | str = "cpu") -> np.ndarray:
    """(N,) logits that patches are painted."""
    inner = (slice(None), *(slice(SHIFT, -SHIFT),) * 3)
    batches = [
        np.stack([patch.image[inner] for patch in patches[i : i + BATCH]]) for i in range(0, len(patches), BATCH)
    ]
    found = [network(torch.from_numpy(batch).to(device)).float().cpu().numpy() for batch in batches]
    return np.concatenate(found)


def _augmented(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A patch (C, x, y, z) shifted, mirrored and with slightly other contrast."""
    starts = rng.integers(2 * SHIFT + 1, size=3)
    part = image[:, *(slice(s, s + n - 2 * SHIFT) for s, n in zip(starts, image.shape[1:], strict=True))]
    axes = tuple(axis for axis in (1, 2, 3) if rng.random() < 0.5)
    mirrored = np.flip(part, axes) * rng.uniform(0.9, 1.1) + rng.uniform(-0.1, 0.1)
    return np.ascontiguousarray(mirrored, dtype=np.float32)
