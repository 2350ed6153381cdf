"""mask consistency during training: do images show the structures that the mask asked for?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch

from lldm_aug.data.conform import Frame
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LabelError
from lldm_aug.masks.deformed import DeformedMasks
from lldm_aug.masks.real import RealCases
from lldm_aug.metrics.dice import shown_dice
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.models.segmenter import Segmenter
from lldm_aug.seeds import derive_seed, numpy_rng, torch_rng
from lldm_aug.training.choice import Score
from lldm_aug.training.prepared_cases import CaseSet

LEAST_DICE = 0.1
"""A structure that the segmenter does not find in real images either says nothing about synthetic ones."""

log = logging.getLogger(__name__)


class MaskConsistency:
    """Scores a generator by the Dice of a segmenter on its images, relative to that on held-out real ones.

    The decoder's head sees the mask and could paint it over any latent: with it, latents of pure noise score almost as
    well as good ones. So the score is that of images decoded with the mask withheld, which show what the denoiser has
    put into the latent. The Dice of images as they will be generated is recorded beside it (``with_mask``).

    The masks are deformed ones of the training cases that lack no structure, the same each time, and so is the noise.

    Args:
        dataset: what the masks are drawn from.
        cases: the run's training cases.
        seed: of the run.
        count: how many masks it scores on.
        segmenter: the run's own.
        real_dice: its Dice of each structure on real images that it did not see.
    """

    def __init__(
        self,
        dataset: RawDataset,
        cases: CaseSet,
        seed: int,
        count: int,
        segmenter: Segmenter,
        real_dice: Mapping[str, float],
    ) -> None:
        self.dataset, self.cases, self.segmenter = dataset, cases, segmenter
        self.seed, self.count = seed, count
        self.real_dice = {name: d for name, d in real_dice.items() if d >= LEAST_DICE and name in cases.schema.names}

    @cached_property
    def masks(self) -> tuple[torch.Tensor, ...]:
        """The masks (X, Y, Z) on the run's grid."""
        source = DeformedMasks(RealCases(self.dataset, self.cases.fully_annotated().case_ids))
        return tuple(self._mask(source, index) for index in range(self.count))

    def _mask(self, source: DeformedMasks, index: int) -> torch.Tensor:
        record = self.cases.record
        try:
            label = source.draw(index, derive_seed(self.seed, "score mask")).label
        except LabelError as error:  # masks that no deformation suits can still be scored on as they are
            log.warning("scoring on a mask that is not deformed: %s", error)
            return self.cases.load_label(source.cases.at(index))
        frame = Frame.around(label, record.shape, record.spacing_mm)
        return torch.from_numpy(frame.label_in(label.data))

    def score(self, generator: Generator) -> Score | None:
        """Mean over structures of Dice relative to real images.

        Returns:
            None when the masks have no structure that the segmenter knows, else the score. Its figures are
            ``relative.NAME`` and ``dice.NAME`` of each structure in images decoded without the mask,
            ``with_mask.NAME``, the Dice in images decoded with it, and ``score_with_mask``.
        """
        plain, painted = [], []
        for index, mask in enumerate(self.masks):
            without_mask, with_mask = self._labels(generator, index, mask)
            plain.append(shown_dice(without_mask, mask.numpy(), self.cases.schema))
            painted.append(shown_dice(with_mask, mask.numpy(), self.cases.schema))
        first, second = _mean(plain), _mean(painted)
        figures = {f"relative.{k}": v / self.real_dice[k] for k, v in first.items() if k in self.real_dice}
        figures |= {f"dice.{k}": v for k, v in first.items()} | {f"with_mask.{k}": v for k, v in second.items()}
        scored = [name for name in self.real_dice if name in first]
        if not scored:
            return None
        value, painted_value = (float(np.mean([d[n] / self.real_dice[n] for n in scored])) for d in (first, second))
        return Score(value=value, figures={**figures, "score_with_mask": painted_value})

    @torch.inference_mode()
    def _labels(self, generator: Generator, index: int, mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """What the segmenter sees in an image decoded without the mask, and with it."""
        description = generator.description
        rng = torch_rng(self.seed, "score noise", index)
        residual_noise = self._residual_noise(description, index, mask).to(generator.device)
        noise = torch.randn(1, *description.latent_shape, generator=rng).to(generator.device)
        condition = encode_mask(mask[None].to(generator.device), self.cases.schema)
        latent = generator.denormalise(generator.latent(condition, noise, description.sampling, rng))
        found = []
        for shown in (torch.zeros_like(condition), condition):
            image, _ = generator.autoencoder.decode(latent, shown)
            found.append(self.segmenter.segment(image + residual_noise)[0].cpu().numpy())
        return found[0], found[1]

    def _residual_noise(self, description: Description, index: int, mask: torch.Tensor) -> torch.Tensor:
        """The texture that images lack, as it will be put back; the segmenter knows images with it alone."""
        if not description.texture:
            return torch.zeros(1)
        rng = numpy_rng(self.seed, "score texture", index)
        residual_noise = description.texture[int(rng.integers(len(description.texture)))]
        return torch.from_numpy(residual_noise.draw(rng, mask.numpy()))


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    """Mean Dice of each structure over the masks that have it; structures that none has are left out."""
    means = {}
    for name in scores[0]:
        known = [s[name] for s in scores if not np.isnan(s[name])]
        if known:
            means[name] = float(np.mean(known))
    return means
