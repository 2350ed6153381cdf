"""Which voxels of a host are painted anew."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lldm_aug.anatomy.measures import grown
from lldm_aug.errors import LabelError
from lldm_aug.inpainting import DEFAULT_MARGIN_MM
from lldm_aug.labels import LabelSchema


def choose_region(
    kind: str,
    before: np.ndarray,
    after: np.ndarray,
    schema: LabelSchema,
    lesions: Collection[str],
    spacing_mm: tuple[float, float, float],
    margin_mm: float = DEFAULT_MARGIN_MM,
) -> np.ndarray:
    """(X, Y, Z) booleans: the voxels to paint anew.

    Args:
        kind: ``edits`` for voxels whose label changed, ``lesions`` for those and all lesions, ``organ`` for those and
            all labelled voxels.
        before: (X, Y, Z) the host's own mask.
        after: (X, Y, Z) the mask to paint for.
        schema: what both stand for.
        lesions: names of the lesions.
        spacing_mm: voxel size.
        margin_mm: how far around these voxels is painted, too.

    Raises:
        LabelError: when there is nothing to paint.
    """
    chosen = before != after
    if kind == "lesions":
        values = [schema.value(name) for name in lesions]
        chosen |= np.isin(before, values) | np.isin(after, values)
    elif kind == "organ":
        chosen |= (before > 0) | (after > 0)
    if not chosen.any():
        what = {"edits": "no label changed", "lesions": "neither mask has a lesion", "organ": "both masks are empty"}
        raise LabelError(f"nothing to paint: {what[kind]}", fix="choose another --region, or masks of kind 'edited'")
    return grown(chosen, spacing_mm, margin_mm)
