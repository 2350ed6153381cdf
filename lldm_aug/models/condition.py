"""The mask as networks see it: per structure +1 here, -1 not here, 0 unknown."""

from __future__ import annotations

from collections.abc import Collection

import torch

from lldm_aug.labels import LabelSchema


def encode_mask(label: torch.Tensor, schema: LabelSchema, unknown: Collection[str] = ()) -> torch.Tensor:
    """(B, X, Y, Z) integer labels to a (B, S, X, Y, Z) float32 condition, background left out.

    Args:
        label: integers of the schema.
        schema: the structures.
        unknown: structures that were not annotated: 0 everywhere. Voxels of the ignore label are 0 for every structure.
    """
    values = torch.arange(1, len(schema.names) + 1, device=label.device).view(1, -1, 1, 1, 1)
    condition = (label[:, None] == values).float() * 2 - 1
    if schema.ignore is not None:
        condition = torch.where(label[:, None] == schema.ignore, 0.0, condition)
    for name in unknown:
        condition[:, schema.value(name) - 1] = 0.0
    return condition


def drop_structures(condition: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Withholds structures: zeroes the channels of (B, S, X, Y, Z) where boolean ``kept`` (B, S) is False."""
    return condition * kept.to(condition)[:, :, None, None, None]
