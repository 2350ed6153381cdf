"""A map-style data set: wrapped, or mixed into its class; `replace` and `add`; workers that live on."""

import torch
from torch.utils.data import DataLoader, Dataset

from lldm_aug import SyntheticMixin
from lldm_aug.blending.convert import as_pair


class Liver(Dataset):
    """Stands for yours: items are an image (C, X, Y, Z) and a mask (X, Y, Z)."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return torch.zeros(1, 32, 28, 24), torch.zeros(32, 28, 24, dtype=torch.int64)


class BlendedLiver(SyntheticMixin, Liver):
    """The same, mixed into the class: it takes the class's arguments besides its own."""


if __name__ == "__main__":
    data = SyntheticMixin(Liver(20), pool="pools/x", ratio=0.25, convert=as_pair)
    loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=2, persistent_workers=True)
    for epoch in range(2):
        data.set_epoch(epoch)
        shown = sum(bool(label.any()) for _, labels in loader for label in labels)
        print(f"epoch {epoch}: {shown} of {len(data)} items are synthetic")
        assert shown == 5
    data = BlendedLiver(20, pool="pools/x", ratio=0.2, mode="add", convert=as_pair)
    assert len(data) == 25
    assert isinstance(data, Liver)
