"""Masks that a network has learnt to make: neither image nor mask is of any one patient."""

from __future__ import annotations

import torch

from lldm_aug.errors import CheckpointError, LabelError
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.distance import assemble
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.source import DrawnMask, first_valid
from lldm_aug.masks.validity import mask_problems
from lldm_aug.models.mask_model import MaskModel
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.seeds import torch_rng
from lldm_aug.volume import Volume

DRAWS = 32
"""Most draws for one mask: more than for other kinds, because a network errs more often than a deformation."""


class LearnedMasks:
    """New masks from a mask model, on its grid, each computed alone.

    Args:
        model: the trained mask model; the cases that it saw are those of its description.
        schema: the structures that masks must have.

    Raises:
        LabelError: when the model has learnt other structures.
    """

    kind = "learned"

    def __init__(self, model: MaskModel, schema: LabelSchema) -> None:
        learnt = model.description.labels
        if learnt.names != schema.names:
            raise LabelError(
                f"the mask model has learnt {', '.join(learnt.names)}, not {', '.join(schema.names)}",
                fix="train one on a data set with these structures: 'lldm-aug train masks'",
            )
        self.model = model
        self.schema = schema

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """A new mask.

        Raises:
            LabelError: when no draw was valid.
            CheckpointError: when the model gives no finite numbers.
        """

        def attempt(number: int) -> tuple[Fitted, list[str]]:
            mask = self._mask(torch_rng(seed, "learned mask", index, number))
            limits = self.model.description.limits
            return fit_valid(mask, mask_problems(mask.data, self.schema, limits=limits), fit, self.schema, limits)

        mask, rejected = first_valid(attempt, "masks of kind 'learned'", DRAWS)
        return DrawnMask.of(mask, MaskOrigin(kind=self.kind, rejected=rejected))

    def _mask(self, rng: torch.Generator) -> Volume:
        description = self.model.description
        noise = torch.randn(1, *description.latent_shape, generator=rng)
        depth_mm = self.model.depths_mm(noise.to(self.model.device), rng)[0].float().cpu().numpy()
        if not (abs(depth_mm) < float("inf")).all():
            raise CheckpointError("the mask model gave NaN or infinity", fix="train it anew")
        return Volume(assemble(depth_mm, self.schema), description.grid)
