"""Whether a mask is anatomically possible."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, label

from lldm_aug.anatomy.limits import DEFAULT_LIMITS, LESIONS, LIVER, VESSELS, Limits
from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS, component_sizes, tight_box
from lldm_aug.labels import LabelSchema

__all__ = ["ANY_NEIGHBOUR", "LESIONS", "LIVER", "SPECK_VOXELS", "VESSELS", "is_liver_schema", "mask_problems"]

VESSEL_SHARE = (0.003, 0.12)
MIN_WHOLE = 0.9
"""Least share of the liver in its largest connected component."""
MAX_LOOSE = 0.02
"""Largest share of a structure that may lie away from the liver: experts' masks hold a few stray voxels."""


def mask_problems(
    mask: np.ndarray,
    schema: LabelSchema,
    source: np.ndarray | None = None,
    *,
    made: frozenset[str] = frozenset(),
    limits: Limits = DEFAULT_LIMITS,
    lesions: frozenset[str] = LESIONS,
) -> list[str]:
    """What is anatomically wrong with a mask; empty if nothing is.

    In a liver schema (liver, its vessels and lesions, nothing else) the liver with its vessels and lesions must be one
    connected component, and vessels must fill 0.3-12 % of it. A mask without liver (a partial label) is exempt from
    this. Structures that come from a real mask may not vanish, break up or gain specks. All others must keep within
    ``limits``: no specks, each vessel in one connected component, vessels apart from each other, lesions and vessels
    inside the liver. Components that the real mask has too, voxel for voxel, are exempt from the limits.

    Args:
        mask: (X, Y, Z) integers.
        schema: what they stand for.
        source: the real mask that it was made from, or is; None if there is none.
        made: structures that do not come from ``source``.
        limits: for structures that come from no real mask.
        lesions: names of the lesions.
    """
    box = _occupied(mask if source is None else np.maximum(mask, source))
    if box is None or not (mask > 0).any():
        return ["the mask is empty"]
    mask, source = mask[box], None if source is None else source[box]
    in_liver = is_liver_schema(schema) and bool((mask == schema.value(LIVER)).any())
    problems = []
    if source is None:
        made = frozenset(schema.names)
    else:
        kept = {name: value for name, value in schema.values.items() if name not in made}
        problems += _changes(mask, kept, source)
    if in_liver:
        problems += _liver_problems(mask, schema)
    new = mask if source is None else _without_kept(mask, schema, made, source)
    return problems + limits.problems(new, schema, made, in_liver=in_liver, lesions=lesions)


def is_liver_schema(schema: LabelSchema) -> bool:
    """Whether all structures of a schema are the liver and parts of it."""
    return LIVER in schema.names and {*schema.names} <= {LIVER} | VESSELS | LESIONS


def _occupied(mask: np.ndarray) -> tuple[slice, ...] | None:
    """A box around all structures, with a voxel of background where the grid has one."""
    box = tight_box(mask > 0)
    return None if box is None else tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)


def _changes(mask: np.ndarray, values: dict[str, int], source: np.ndarray) -> list[str]:
    problems = []
    for name, value in values.items():
        if np.array_equal(mask == value, source == value):
            continue
        before = component_sizes(source == value)
        after = component_sizes(mask == value)
        if len(before) and not len(after):
            problems.append(f"{name} vanished")
        elif len(after) > len(before):
            problems.append(f"{name} has {len(after)} connected components instead of {len(before)}")
        elif np.sum(after < SPECK_VOXELS) > np.sum(before < SPECK_VOXELS):
            problems.append(f"{name} has new specks of fewer than {SPECK_VOXELS} voxels")
    return problems


def _without_kept(mask: np.ndarray, schema: LabelSchema, made: frozenset[str], source: np.ndarray) -> np.ndarray:
    """The mask, in which components that are exactly those of the source get a label that no structure has."""
    new = mask.copy()
    for value in (schema.value(name) for name in made):
        components, count = label(mask == value, ANY_NEIGHBOUR)
        touched = components[binary_dilation((mask == value) != (source == value), ANY_NEIGHBOUR)]
        new[np.isin(components, np.setdiff1d(np.arange(1, count + 1), touched))] = len(schema.names) + 1
    return new


def _liver_problems(mask: np.ndarray, schema: LabelSchema) -> list[str]:
    top = len(schema.names)
    counts = np.bincount(mask[(mask > 0) & (mask <= top)], minlength=top + 1)
    share = sum(int(counts[schema.value(name)]) for name in schema.names if name in VESSELS) / counts.sum()
    problems = []
    if share > 0 and not VESSEL_SHARE[0] <= share <= VESSEL_SHARE[1]:
        problems.append(f"vessels fill {100 * share:.2f} % of the liver")
    whole = (mask > 0) & (mask <= top)
    components, _ = label(whole, ANY_NEIGHBOUR)
    with_liver = np.bincount(components[mask == schema.value(LIVER)], minlength=components.max() + 1)
    largest = int(with_liver.argmax())
    if with_liver[largest] < MIN_WHOLE * with_liver.sum():
        problems.append(
            f"only {100 * with_liver[largest] / with_liver.sum():.0f} % of the liver is in one connected component"
        )
    loose = np.bincount(mask[whole & (with_liver[components] == 0)], minlength=top + 1)
    for name, value in schema.values.items():
        if loose[value] > MAX_LOOSE * counts[value]:
            problems.append(f"{loose[value]} of {counts[value]} voxels of {name} lie away from the liver")
    return problems
