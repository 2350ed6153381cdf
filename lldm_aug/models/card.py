"""The model card (``README.md``) of a generator folder."""

from __future__ import annotations

from collections.abc import Mapping

from lldm_aug.models.description import Description
from lldm_aug.models.mask_description import MaskDescription
from lldm_aug.models.segmenter import SegmenterDescription

NUM_STAGES = 3
"""That train a generator; what it has seen besides comes from one that it was started from."""


def model_card(
    description: Description,
    steps: Mapping[str, int],
    seed: int,
    weights: str,
    segmenter: SegmenterDescription | None = None,
    masks: MaskDescription | None = None,
) -> str:
    """Markdown: what the generator is, what it saw, how it was trained, how to use it, what it is not.

    Args:
        description: of the generator.
        steps: that each of its stages was trained for.
        seed: of its training.
        weights: which ones it has.
        segmenter: the one in its folder, if any.
        masks: the mask model in its folder, if any.
    """
    d = description
    shape, spacing = (" x ".join(f"{v:g}" for v in values) for values in (d.shape, d.spacing_mm))
    structures = ", ".join(d.labels.names)
    seen = "\n".join(
        f"| {s.stage} | {s.dataset} | {s.fold} | {len(s.cases)} | `{s.split_hash[:12]}` |" for s in d.stages
    )
    return f"""---
library_name: lldm_aug
tags: [medical-imaging, mri, liver, latent-diffusion, data-augmentation]
---
# Label-guided 3D latent diffusion generator

Makes {"/".join(d.dataset_json["channel_names"].values())} volumes of {shape} voxels at {spacing} mm for masks of
{structures}. Made by lldm_aug {d.lldm_aug_version}.

## What it has seen

| stage | data set | fold | cases | split |
| --- | --- | --- | --- | --- |
{seen}

The ids and hashes of all cases are in `config.json`; `lldm_aug` refuses to blend its output into a fold whose
validation cases are among them.{_origin(d)}

## Training

Objective {d.objective.kind}; steps: autoencoder {steps["autoencoder"]}, diffusion {steps["diffusion"]},
ControlNet {steps["controlnet"]}; seed {seed}. Latents have {d.latent_shape[0]} channels on a grid that is
coarser by {d.compression}. Weights: {weights}.
{_parts(segmenter, masks)}
## Use

```
lldm-aug generate --model THIS_FOLDER --n 100 --out pools/x{_options(segmenter, masks)}
```

## Limits

For augmentation in research. Images are synthetic, may repeat what is in the training data, and carry its biases;
they are not for diagnosis. Whether they help a segmentation has to be measured on held-out real cases.
"""


def _origin(description: Description) -> str:
    if len(description.stages) <= NUM_STAGES:
        return ""
    return " It was started from another\ngenerator's weights; what that one saw is listed first."


def _parts(segmenter: SegmenterDescription | None, masks: MaskDescription | None) -> str:
    """What lies in the folder beside the generator, with its figures."""
    parts = []
    if segmenter is not None:
        scores = _figures({name: found.mean for name, found in segmenter.heldout_dice.items()})
        cases = len(segmenter.heldout_cases)
        parts.append(f"- `segmenter/` judges pairs (`--filter`). Dice on {cases} real cases not trained on: {scores}.")
    if masks is not None:
        scores = _figures(masks.reconstruction_dice)
        parts.append(f"- `masks/` draws new masks (`--masks learned`). Dice of masks after its autoencoder: {scores}.")
    return "\n## Beside it\n\n" + "\n".join(parts) + "\n" if parts else ""


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items()) or "none"


def _options(segmenter: SegmenterDescription | None, masks: MaskDescription | None) -> str:
    return (" --masks learned" if masks is not None else "") + (" --filter" if segmenter is not None else "")
