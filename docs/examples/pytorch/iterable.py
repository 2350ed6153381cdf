"""An iterable data set: each worker blends its own part of the stream; random transforms around the blend."""

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lldm_aug import SyntheticIterable
from lldm_aug.blending.convert import as_pair


class Stream(IterableDataset):
    """Stands for yours, which deals its items out to the workers."""

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for _ in range(first, 24, step):
            yield torch.zeros(1, 32, 28, 24), torch.zeros(32, 28, 24, dtype=torch.int64)


class Flipped(IterableDataset):
    """Flips real and synthetic items alike."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        for image, label in self.items:
            yield (image.flip(1), label.flip(0)) if torch.rand(()) < 0.5 else (image, label)


if __name__ == "__main__":
    data = SyntheticIterable(Stream(), pool="pools/x", ratio=0.25, mode="add", convert=as_pair)
    loader = DataLoader(Flipped(data), batch_size=4, num_workers=2, persistent_workers=True)
    for epoch in range(2):
        data.set_epoch(epoch)
        kinds = [bool(label.any()) for _, labels in loader for label in labels]
        print(f"epoch {epoch}: {kinds.count(False)} real items, {kinds.count(True)} synthetic ones added")
        assert kinds.count(False) == 24
        assert kinds.count(True) == 8
