"""Label-guided 3D latent diffusion that makes liver MR with masks, and blends it into segmentation training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lldm_aug.blending.mixin import SyntheticMixin

__version__ = "0.1.0"
__all__ = ["SyntheticMixin", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when first used: the command line's --help must answer at once.
    if name == "SyntheticMixin":
        from lldm_aug.blending.mixin import SyntheticMixin

        return SyntheticMixin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
