"""Real masks with other tumours."""

from __future__ import annotations

from lldm_aug.errors import ConfigError
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.source import DrawnMask


class EditedMasks:
    """Masks of real cases whose tumours were added, moved, grown, shrunk or removed."""

    kind = "edited"

    def __init__(self, cases: RealCases) -> None:
        raise ConfigError("masks of kind 'edited' do not exist yet", where=cases.dataset.folder)

    def draw(self, index: int, seed: int) -> DrawnMask:
        """An edited mask."""
        raise NotImplementedError
