"""One synthetic case: a pure function of generator, mask source, run seed and index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import likely_foreground
from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Grid
from lldm_aug.masks.fitting import fit_to
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.masks.source import MaskSource
from lldm_aug.models.image_model import ImageDescription, ImageModel
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.writer import Inpainted
from lldm_aug.seeds import derive_seed, numpy_rng, torch_rng


@dataclass(frozen=True)
class SyntheticCase:
    """A generated image with its mask.

    Args:
        index: its number in the run.
        seed: what its random numbers derive from.
        image: (C, X, Y, Z) in the range of the real data, exactly zero where theirs would be.
        label: (X, Y, Z) int16 of the mask source's schema.
        grid: grid of both, in the spacing and orientation of the mask's source.
        origin: where the mask came from.
        inpainted: the host and the painted region of it, if the rest of the image is the host's.
    """

    index: int
    seed: int
    image: np.ndarray
    label: np.ndarray
    grid: Grid
    origin: MaskOrigin
    inpainted: Inpainted | None = None


def make_case(
    generator: ImageModel, source: MaskSource, sampling: SamplingSettings, run_seed: int, index: int
) -> SyntheticCase:
    """Draws a mask, generates an image for it, and brings both to the mask's own spacing and orientation.

    Structures of the generator that the source's masks lack are unknown: the image may show them or not.

    Each case is computed alone, so that no batch layout can change its last digits.

    Raises:
        CheckpointError: when the generator gives no finite image.
        LabelError, InvalidVolume: when there is no mask to be had (see `MaskSource.draw`).
    """
    seed = derive_seed(run_seed, "case", index)
    description = generator.description
    mask = source.draw(index, seed, partial(fit_to, shape=description.shape, spacing_mm=description.spacing_mm))
    frame = Frame(mask.label.grid, mask.shown.grid)
    known = Relabelling(source.schema, description.labels)
    condition = known.apply(mask.shown.data)
    scaled, logit = _generate(generator, condition, known.unknown, seed, sampling)
    scaled += _residual_noise(description, condition, seed)
    intensity = description.intensity
    scale = intensity.scales[int(numpy_rng(seed, "intensity").integers(len(intensity.scales)))]
    image = intensity.restore(frame.image_out(scaled), likely_foreground(frame.image_out(logit)[0]), scale)
    return SyntheticCase(index, seed, image, mask.label.data, mask.label.grid, mask.origin)


def _generate(
    generator: ImageModel, label: np.ndarray, unknown: tuple[str, ...], seed: int, sampling: SamplingSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled image (C, X, Y, Z) and foreground logit (1, X, Y, Z) on the generator's grid."""
    noise = torch.randn(1, *generator.description.latent_shape, generator=torch_rng(seed, "noise"))
    scaled, logit = generator.image(
        torch.from_numpy(label)[None], noise, sampling, torch_rng(seed, "ancestral noise"), unknown
    )
    if not (torch.isfinite(scaled).all() and torch.isfinite(logit).all()):
        raise CheckpointError("the generator gave NaN or infinity", fix="lower --guidance, or train it anew")
    return scaled[0].float().cpu().numpy(), logit.float().cpu().numpy()


def _residual_noise(description: ImageDescription, label: np.ndarray, seed: int) -> np.ndarray:
    """The texture that samples lack, as strong as in one of the training cases; see `lldm_aug.models.texture`."""
    if not description.texture:
        return np.zeros(1, dtype=np.float32)
    rng = numpy_rng(seed, "texture")
    return description.texture[int(rng.integers(len(description.texture)))].draw(rng, label)
