"""What a trained network smooths away in training cases."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lldm_aug.models.texture import Grain, measure_grain
from lldm_aug.training.cases import CaseSet, PreparedCase, spread

MOST_CASES = 32
"""So many tell the spread of noise between scans."""

Show = Callable[[str, PreparedCase], torch.Tensor]
"""Maps a case's id and the case to a scaled image (C, X, Y, Z) of the same structures."""


@torch.no_grad()
def measure_texture(cases: CaseSet, show: Show) -> tuple[Grain, ...]:
    """The grain of training cases, spread evenly over the set, that what a network shows for them lacks."""
    grains = []
    for case_id in spread(cases.case_ids, MOST_CASES):
        case = cases.load(case_id)
        shown = show(case_id, case).float().cpu().numpy()
        foreground = case.foreground.numpy() > 0.5
        structures = len(cases.schema.names)
        grains.append(measure_grain(case.image.numpy(), shown, case.label.numpy(), foreground, structures))
    return tuple(grains)
