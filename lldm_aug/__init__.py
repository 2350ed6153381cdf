"""Label-guided 3D latent diffusion that makes liver MR with masks, and blends it into segmentation training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lldm_aug.version import __version__

if TYPE_CHECKING:
    from lldm_aug.blending.batch_sampler import BlendedBatchSampler
    from lldm_aug.blending.iterable import SyntheticIterable
    from lldm_aug.blending.mixin import SyntheticMixin
    from lldm_aug.inpainting.inpaint import Inpaint

__all__ = ["BlendedBatchSampler", "Inpaint", "SyntheticIterable", "SyntheticMixin", "__version__"]

_MODULES = {
    "BlendedBatchSampler": "blending.batch_sampler",
    "Inpaint": "inpainting.inpaint",
    "SyntheticIterable": "blending.iterable",
    "SyntheticMixin": "blending.mixin",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: the command line's --help must answer at once.
    if name in _MODULES:
        return getattr(import_module(f"lldm_aug.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
