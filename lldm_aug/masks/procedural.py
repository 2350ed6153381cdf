"""Masks of the digital phantom's anatomy: no real case stands behind them."""

from __future__ import annotations

from lldm_aug.anatomy.limits import DEFAULT_LIMITS
from lldm_aug.errors import LabelError
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, fit_valid
from lldm_aug.masks.source import DrawnMask, first_valid
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom.render_case import phantom_labels
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.seeds import derive_seed
from lldm_aug.volume import Volume

NEEDED = ("liver", "portal_vein", "hepatic_vein")


class ProceduralMasks:
    """New phantoms on one grid.

    Args:
        schema: must name the phantom's structures.
        grid: of all masks.

    Raises:
        LabelError: for any other schema.
    """

    kind = "procedural"

    def __init__(self, schema: LabelSchema, grid: Grid) -> None:
        if schema.names != HBP.names:
            raise LabelError(
                f"procedural masks have {', '.join(HBP.names)}, not {', '.join(schema.names)}",
                fix="use masks of kind 'real' or 'deformed', which work for any structures",
            )
        self.schema = schema
        self.grid = grid

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """A new phantom's mask.

        Raises:
            LabelError: when none was valid, such as on a grid that does not hold a liver.
        """

        def attempt(number: int) -> tuple[Fitted, list[str]]:
            labels = phantom_labels(derive_seed(seed, "procedural mask", index, number), self.grid)
            missing = [name for name, value in self.schema.values.items() if name in NEEDED and value not in labels]
            problems = [f"no {name}" for name in missing] or mask_problems(labels, self.schema)
            return fit_valid(Volume(labels, self.grid), problems, fit, self.schema, DEFAULT_LIMITS)

        mask, rejected = first_valid(attempt, f"a grid of {self.grid.shape} voxels")
        return DrawnMask.of(mask, MaskOrigin(kind=self.kind, rejected=rejected))
