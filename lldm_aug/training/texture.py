"""What a trained autoencoder smooths away in training cases."""

from __future__ import annotations

import torch

from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.texture import Grain, measure_grain
from lldm_aug.training.cases import CaseSet, spread

MOST_CASES = 64
"""So many tell the spread of noise between scans."""


@torch.no_grad()
def measure_texture(cases: CaseSet, autoencoder: Autoencoder) -> tuple[Grain, ...]:
    """The grain of training cases, spread evenly over the set, that their reconstructions lack."""
    device = next(autoencoder.parameters()).device
    grains = []
    for case_id in spread(cases.case_ids, MOST_CASES):
        case = cases.load(case_id)
        condition = cases.condition([case_id], case.label[None].to(device))
        mean, _ = autoencoder.encode(case.image[None].to(device))
        reconstruction = autoencoder.decode(mean, condition)[0][0].float().cpu().numpy()
        foreground = case.foreground.numpy() > 0.5
        structures = len(cases.schema.names)
        grains.append(measure_grain(case.image.numpy(), reconstruction, case.label.numpy(), foreground, structures))
    return tuple(grains)
