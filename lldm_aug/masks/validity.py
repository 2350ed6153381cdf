"""Whether a mask is anatomically possible."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects, label

from lldm_aug.labels import LabelSchema

LIVER = "liver"
VESSELS = frozenset({"portal_vein", "hepatic_vein", "vessel", "vessels", "hepatic_vessels"})
LESIONS = frozenset({"hcc", "tumour", "tumor", "lesion"})
VESSEL_SHARE = (0.003, 0.12)
MIN_WHOLE = 0.9
"""Least share of the liver in its largest piece."""
MAX_LOOSE = 0.02
"""Largest share of a structure that may lie away from the liver: experts' masks hold a few stray voxels."""
SPECK_VOXELS = 4
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


def mask_problems(mask: np.ndarray, schema: LabelSchema, source: np.ndarray | None = None) -> list[str]:
    """What is anatomically wrong with a mask; empty if nothing is.

    Args:
        mask: (X, Y, Z) integers.
        schema: what they stand for. In a liver schema (liver, its vessels and lesions, nothing else) vessels and
            lesions must hang together with the liver, which must be whole, and vessels must fill 0.3-12 % of it. A mask
            without liver (a partial label) is not judged by that.
        source: the real mask that it was made from: its structures may not vanish, break up or shed specks.
    """
    if not (mask > 0).any():
        return ["the mask is empty"]
    problems = [] if source is None else _changes(mask, schema, source)
    if is_liver_schema(schema) and (mask == schema.value(LIVER)).any():
        problems += _liver_problems(mask, schema)
    return problems


def is_liver_schema(schema: LabelSchema) -> bool:
    """Whether all structures of a schema are the liver and parts of it."""
    return LIVER in schema.names and {*schema.names} <= {LIVER} | VESSELS | LESIONS


def piece_sizes(structure: np.ndarray) -> np.ndarray:
    """Voxels of each piece of a boolean structure, neighbours by face, edge or corner; the largest first."""
    (box,) = find_objects(structure.astype(np.uint8)) or (None,)
    if box is None:
        return np.zeros(0, dtype=int)
    pieces, _ = label(structure[box], ANY_NEIGHBOUR)
    return np.sort(np.bincount(pieces.ravel())[1:])[::-1]


def _changes(mask: np.ndarray, schema: LabelSchema, source: np.ndarray) -> list[str]:
    problems = []
    for name, value in schema.values.items():
        before = piece_sizes(source == value)
        after = piece_sizes(mask == value)
        if len(before) and not len(after):
            problems.append(f"{name} vanished")
        elif len(after) > len(before):
            problems.append(f"{name} has {len(after)} pieces instead of {len(before)}")
        elif np.sum(after < SPECK_VOXELS) > np.sum(before < SPECK_VOXELS):
            problems.append(f"{name} has new specks of fewer than {SPECK_VOXELS} voxels")
    return problems


def _liver_problems(mask: np.ndarray, schema: LabelSchema) -> list[str]:
    top = len(schema.names)
    counts = np.bincount(mask[(mask > 0) & (mask <= top)], minlength=top + 1)
    share = sum(int(counts[schema.value(name)]) for name in schema.names if name in VESSELS) / counts.sum()
    problems = []
    if share > 0 and not VESSEL_SHARE[0] <= share <= VESSEL_SHARE[1]:
        problems.append(f"vessels fill {100 * share:.2f} % of the liver")
    whole = (mask > 0) & (mask <= top)
    pieces, _ = label(whole, ANY_NEIGHBOUR)
    with_liver = np.bincount(pieces[mask == schema.value(LIVER)], minlength=pieces.max() + 1)
    largest = int(with_liver.argmax())
    if with_liver[largest] < MIN_WHOLE * with_liver.sum():
        problems.append(f"only {100 * with_liver[largest] / with_liver.sum():.0f} % of the liver is in one piece")
    loose = np.bincount(mask[whole & (with_liver[pieces] == 0)], minlength=top + 1)
    for name, value in schema.values.items():
        if loose[value] > MAX_LOOSE * counts[value]:
            problems.append(f"{loose[value]} of {counts[value]} voxels of {name} lie away from the liver")
    return problems
