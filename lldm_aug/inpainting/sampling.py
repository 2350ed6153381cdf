"""How a generator is sampled where it inpaints."""

from __future__ import annotations

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.models.description import Description

MOST_STEPS = 5
"""Of a solver of second order. What is around a region leaves less to find out than a whole image does."""


def inpainting_sampling(description: Description) -> SamplingSettings:
    """The generator's own sampling without guidance, and with few steps where its solver allows that.

    Guidance on the mask exaggerates the contrast of lesions, which their surroundings then give away, and doubles the
    time.
    """
    own = description.sampling
    steps = min(own.steps, MOST_STEPS) if own.solver in ("unipc", "dpmpp") else own.steps
    return own.model_copy(update={"guidance": 1.0, "steps": steps})
