"""A map-style data set whose items are inpainted in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from lldm_aug.errors import ConfigError
from lldm_aug.inpainting.inpaint import Inpaint


class InpaintedDataset(Dataset[Any]):
    """Real items, some of which are edited; an item is the same in any worker and order of access.

    Put random transforms around it.

    Args:
        data: map-style data set of what `Inpaint` takes.
        inpaint: the transform.
        names: id of each item's case; None where samples name their cases, or nobody asks.

    Raises:
        ConfigError: when there are not as many names as items.
    """

    def __init__(self, data: Any, inpaint: Inpaint, names: Sequence[str] | None = None) -> None:
        if names is not None and len(names) != len(data):
            raise ConfigError(f"{len(names)} names for {len(data)} items", where="names")
        self.data = data
        self.inpaint = inpaint
        self.names = names

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        place = index + len(self) if index < 0 else index
        item = place if self.names is None else self.names[place]
        return self.inpaint(self.data[index], item=item)

    def set_epoch(self, epoch: int) -> None:
        """Moves on to an epoch, in all workers; tells the real data set too if it has a ``set_epoch``."""
        self.inpaint.set_epoch(epoch)
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)
