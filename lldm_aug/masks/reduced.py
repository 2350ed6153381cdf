"""Masks without some of their structures."""

from __future__ import annotations

from lldm_aug.labels import LabelSchema
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

    def draw(self, index: int, seed: int) -> DrawnMask:
        """The other source's mask, relabelled; it was anatomically valid when it was whole.

        Raises:
            LabelError: as the other source does.
        """
        drawn = self.source.draw(index, seed)
        return DrawnMask(Volume(self.relabelling.apply(drawn.label.data), drawn.label.grid), drawn.origin)
