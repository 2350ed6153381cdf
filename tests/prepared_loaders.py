"""Run by two processes: loaders that ``accelerator.prepare`` deals out bring each real item to one of them, once."""

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from numbered import Numbers, NumberStream, negative
from torch.utils.data import DataLoader

from lldm_aug import SyntheticIterable, SyntheticMixin

BLEND = {"pool": "pools/x", "ratio": 0.25, "convert": negative, "mode": "add"}


def gathered(accelerator: Accelerator, loader: DataLoader) -> list[int]:
    return accelerator.gather(torch.cat([*loader])).tolist()


def check(accelerator: Accelerator, data: SyntheticMixin | SyntheticIterable, **options: object) -> None:
    loader = accelerator.prepare(DataLoader(data, batch_size=4, **options))
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        drawn = gathered(accelerator, loader)
        assert data.epoch == epoch
        assert sorted(item for item in drawn if item >= 0) == list(range(48)), drawn
        assert sum(item < 0 for item in drawn) == 16
        epochs.append([item for item in drawn if item < 0])
    assert sorted(epochs[0]) != sorted(epochs[1])


if __name__ == "__main__":
    for dispatch in (None, False):  # by default the first process reads a stream for all
        accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatch))
        assert accelerator.num_processes == 2
        check(accelerator, SyntheticMixin(Numbers(48), **BLEND), shuffle=True, num_workers=2)
        check(accelerator, SyntheticIterable(NumberStream(48), **BLEND), num_workers=2)
    accelerator.print("all real items once")
    accelerator.end_training()
