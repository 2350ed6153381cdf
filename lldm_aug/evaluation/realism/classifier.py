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
HIDDEN = 16
BATCH = 16
LEARNING_RATE = 3e-3
LEAST_HALVED = 8
"""A side of fewer voxels is not halved any more."""
AROUND = 2
"""Voxels around a lesion that belong to its border."""
FAINTEST = 1e-3
"""Size of texture, of what is scaled to [-1, 1], below which there is none to measure by."""


class PatchNetwork(nn.Module):
    """Three convolutions; of each means inside, near and away from the lesion, and the maximum near it; and a number.

    Half of the first filters see the image, the others its texture (what local means leave), which would otherwise be
    drowned: contrast between organs is many times stronger. Texture is measured by that of the patch away from the
    lesion, so that a lesion that is smoother than its surroundings looks alike in quiet and in noisy images.

    Args:
        channels: of the image.
        side: voxels of a patch along (X, Y, Z).
    """

    def __init__(self, channels: int, side: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        sides, stride, before, groups = list(side), [1, 1, 1], 2 * channels, 2
        for width in CHANNELS:
            x, y, z = stride
            convolution = nn.Conv3d(before, width, 3, (x, y, z), padding=1, bias=False, groups=groups)
            self.levels.append(nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU()))
            sides = [-(-n // s) for n, s in zip(sides, stride, strict=True)]
            stride = [2 if n >= LEAST_HALVED else 1 for n in sides]
            before, groups = width, 1
        self.head = nn.Sequential(nn.Linear(4 * sum(CHANNELS), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, image: Tensor, lesion: Tensor) -> Tensor:
        """Logits (B,) that patches are painted.

        Args:
            image: (B, C, x, y, z).
            lesion: (B, 1, x, y, z), 1 in the lesion: says where to look, so that what is around does not drown it.
        """
        near = F.max_pool3d(lesion, 2 * AROUND + 1, stride=1, padding=AROUND)
        found = torch.cat([image, _texture(image, near)], dim=1)
        pooled = []
        for level in self.levels:
            found = level(found)
            pooled += _pooled(found, *(F.adaptive_max_pool3d(part, found.shape[2:]) for part in (lesion, near)))
        logit: Tensor = self.head(torch.cat(pooled, dim=1))[:, 0]
        return logit


def _texture(image: Tensor, near: Tensor) -> Tensor:
    """What local means leave of images (B, C, x, y, z), over its usual size away from lesions (median, not edges)."""
    texture = image - F.avg_pool3d(image, 3, stride=1, padding=1, count_include_pad=False)
    away = torch.where(near > 0, torch.nan, texture.abs())
    usual = away.flatten(2).nanmedian(2).values[..., None, None, None]
    return texture / usual.nan_to_num(1.0).clamp(min=FAINTEST)


def _pooled(found: Tensor, lesion: Tensor, near: Tensor) -> list[Tensor]:
    """Means (B, F) of features (B, F, x, y, z) in the lesion, near it and elsewhere, and the strongest near it."""
    parts = (lesion, near, 1 - near)
    means = [(found * part).sum((2, 3, 4)) / part.sum((2, 3, 4)).clamp(min=1) for part in parts]
    return [*means, (found * near).amax((2, 3, 4))]  # no feature is negative


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
        logits = network(*_batch([_augmented(patch, rng) for patch in chosen], device))
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def scores(network: PatchNetwork, patches: Sequence[Patch], device: torch.device | str = "cpu") -> np.ndarray:
    """(N,) logits that patches are painted."""
    views = [_part(patch, (SHIFT,) * 3) for patch in patches]
    batches = [_batch(views[i : i + BATCH], device) for i in range(0, len(views), BATCH)]
    return np.concatenate([network(*batch).float().cpu().numpy() for batch in batches])


View = tuple[np.ndarray, np.ndarray]
"""An image (C, x, y, z) and its lesion (1, x, y, z) as a network sees them."""


def _batch(views: Sequence[View], device: torch.device | str) -> tuple[Tensor, Tensor]:
    images, lesions = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*views, strict=True))
    return images, lesions


def _part(patch: Patch, start: Sequence[int]) -> View:
    """A patch without the voxels that are there to be shifted."""
    box = tuple(slice(s, s + n - 2 * SHIFT) for s, n in zip(start, patch.lesion.shape, strict=True))
    return patch.image[:, *box], patch.lesion[None, *box].astype(np.float32)


def _augmented(patch: Patch, rng: np.random.Generator) -> View:
    """A patch shifted, mirrored and with slightly other contrast."""
    image, lesion = _part(patch, rng.integers(2 * SHIFT + 1, size=3).tolist())
    axes = tuple(axis for axis in (1, 2, 3) if rng.random() < 0.5)
    image, lesion = (np.flip(x, axes) for x in (image, lesion))
    contrasted = image * rng.uniform(0.9, 1.1) + rng.uniform(-0.1, 0.1)
    return np.ascontiguousarray(contrasted, dtype=np.float32), np.ascontiguousarray(lesion)
