"""The model card (``README.md``) of a generator folder."""

from __future__ import annotations

from lldm_aug.config.schema import Config
from lldm_aug.models.description import Description


def model_card(description: Description, config: Config) -> str:
    """Markdown: what the generator is, what it saw, how it was trained, how to use it, what it is not."""
    d = description
    shape, spacing = (" x ".join(f"{v:g}" for v in values) for values in (d.shape, d.spacing_mm))
    structures = ", ".join(d.labels.names)
    seen = "\n".join(
        f"| {s.stage} | {s.dataset} | {s.fold} | {len(s.cases)} | `{s.split_hash[:12]}` |" for s in d.stages
    )
    steps = config.train
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
validation cases are among them.

## Training

Objective {d.objective.kind}; steps: autoencoder {steps.autoencoder.steps}, diffusion {steps.diffusion.steps},
ControlNet {steps.controlnet.steps}; seed {config.seed}. Latents have {d.latent_shape[0]} channels on a grid that is
coarser by {d.compression}.

## Use

```
lldm-aug generate --model THIS_FOLDER --n 100 --out pools/x
```

## Limits

For augmentation in research. Images are synthetic, may repeat what is in the training data, and carry its biases;
they are not for diagnosis. Whether they help a segmentation has to be measured on held-out real cases.
"""
