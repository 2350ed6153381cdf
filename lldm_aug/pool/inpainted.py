"""A host, and what was painted anew in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case
from lldm_aug.pool.manifest import InpaintedRegion


@dataclass(frozen=True)
class Inpainted:
    """A host, and what was painted anew in it.

    Args:
        host: the real case.
        images: its image files, one a channel.
        label: its mask file.
        region: (X, Y, Z) booleans, True where the image was painted; outside of it, image and mask are the host's.
        record: for the manifest.
    """

    host: Case
    images: tuple[Path, ...]
    label: Path
    region: np.ndarray
    record: InpaintedRegion
