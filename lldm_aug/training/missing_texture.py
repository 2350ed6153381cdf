"""What training cases look like: the signal of each structure, and the texture that a network smooths away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.structure_signal import RealSignal, case_signal, real_signal
from lldm_aug.models.image_model import ImageModel
from lldm_aug.models.texture import Correlation, ResidualNoise, measure_residual_noise
from lldm_aug.seeds import torch_rng
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase, spread

MOST_CASES = 32
"""So many tell the spread of noise between scans."""

Show = Callable[[str, PreparedCase], torch.Tensor]
"""Maps a case's id and the case to a scaled image (C, X, Y, Z) of the same structures."""


def samples_of(model: ImageModel, cases: CaseSet, seed: int, name: str) -> Show:
    """Samples of a model for the masks of training cases, from noise that is a pure function of seed, name and case."""
    sampling = _quick(model.description.sampling)

    def show(case_id: str, case: PreparedCase) -> torch.Tensor:
        noise = torch.randn(1, *model.description.latent_shape, generator=torch_rng(seed, name, "texture", case_id))
        unknown = cases.record.unknown.get(case_id, ())
        return model.image(case.label[None], noise, sampling, unknown=unknown)[0][0]

    return show


def _quick(sampling: SamplingSettings) -> SamplingSettings:
    """As images will be sampled, but never in a thousand steps."""
    quick = SamplingSettings()
    if sampling.solver != "ddpm":
        return sampling
    return sampling.model_copy(update={"solver": quick.solver, "steps": quick.steps})


@torch.no_grad()
def measure_texture(
    cases: CaseSet, show: Show, correlations: Sequence[Correlation] = (), most: int = MOST_CASES
) -> tuple[ResidualNoise, ...]:
    """The residual noise of training cases, spread evenly over the set, that what a network shows for them lacks.

    Args:
        cases: the training cases.
        show: the network.
        correlations: of the residual noise of each case in turn, and again; none to measure them.
        most: cases to measure.
    """
    residual_noise = []
    for number, case_id in enumerate(spread(cases.case_ids, most)):
        case = cases.load(case_id)
        shown = show(case_id, case).float().cpu().numpy()
        foreground = case.foreground.numpy() > 0.5
        correlation = correlations[number % len(correlations)] if correlations else None
        structures = len(cases.schema.names)
        residual_noise.append(
            measure_residual_noise(case.image.numpy(), shown, case.label.numpy(), foreground, structures, correlation)
        )
    return tuple(residual_noise)


def measure_cases(cases: CaseSet) -> RealSignal:
    """The range of signal over the cases of a run that have all structures; over all if none has.

    A vessel that was not annotated would count as liver, and make the quality filter let more pass.
    """
    whole = any(case_id not in cases.record.unknown for case_id in cases.case_ids)
    chosen = cases.fully_annotated() if whole else cases
    found = []
    for case_id in chosen.case_ids:
        case = chosen.load(case_id)
        zeros = 1 - case.foreground.numpy()
        found.append(case_signal(case.image.numpy(), case.label.numpy(), zeros, cases.schema))
    return real_signal(found)
