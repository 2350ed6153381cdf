"""Real cases as a generator's autoencoder gives them back: a synthetic image's smoothing without its new content."""

from __future__ import annotations

from dataclasses import replace

import torch

from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import likely_foreground, measure_scale
from lldm_aug.data.raw import Case
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.generator import Generator
from lldm_aug.volume import Volume


@torch.inference_mode()
def autoencoded(generator: Generator, case: Case) -> Case:
    """A case, encoded and decoded on the generator's grid, and cropped to what that covers.

    The mask goes the same way as that of a synthetic case.
    """
    description = generator.description
    frame = Frame.around(Volume(case.label, case.grid), description.shape, description.spacing_mm)
    intensity = description.intensity
    scale = description.common_scale or measure_scale(case.image, description.scaling)
    scaled = torch.from_numpy(scale.apply(frame.image_in(case.image), intensity.limit))[None].to(generator.device)
    label = frame.label_in(case.label)
    condition = encode_mask(torch.from_numpy(label)[None].to(generator.device), description.labels)
    latent, _ = generator.autoencoder.encode(scaled)
    image, logit = (out.float().cpu().numpy() for out in generator.autoencoder.decode(latent, condition))
    channels = case.image.reshape(len(case.image), -1)  # bounds are the case's own, not those of the training cases
    own = intensity.model_copy(
        update={"minimum": tuple(channels.min(1).tolist()), "maximum": tuple(channels.max(1).tolist())}
    )
    foreground = likely_foreground(frame.image_out(logit)[0])
    restored = own.restore(frame.image_out(image[0]), foreground, scale)
    return replace(case, image=restored.astype("float32"), label=frame.label_out(label), grid=frame.native_view())
