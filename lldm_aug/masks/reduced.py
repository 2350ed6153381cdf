"""Masks without some of their structures."""

from __future__ import annotations

from lldm_aug.anatomy.limits import Limits
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn, judged
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.masks.source import DrawnMask, MaskSource
from lldm_aug.volume import Volume


class ReducedMasks:
    """The masks of another source in a schema that may lack some of its structures (see `Relabelling`).

    Args:
        source: draws the masks.
        schema: the structures that stay.
    """

    def __init__(self, source: MaskSource, schema: LabelSchema) -> None:
        self.kind = source.kind
        self.schema = schema
        self.source = source
        self.relabelling = Relabelling(source.schema, schema)

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """The other source's mask, relabelled; it was anatomically valid when it was whole.

        Raises:
            LabelError: as the other source does.
        """

        def relabel_and_fit(mask: Volume, _schema: LabelSchema, limits: Limits | None) -> tuple[Fitted, list[str]]:
            reduced = Volume(self.relabelling.apply(mask.data), mask.grid)
            fitted, problems = fit(reduced, self.schema, limits)
            if problems and judged(reduced.data, reduced.data, self.schema, limits):
                problems = []  # what stays may be less than a whole mask has to have, such as one vein of two
            return fitted, problems

        return self.source.draw(index, seed, relabel_and_fit)
