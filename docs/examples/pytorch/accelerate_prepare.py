"""accelerate: `prepare` deals the batches out, each keeps its share, and no real item goes to two processes."""

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

from lldm_aug import BlendedBatchSampler, SyntheticMixin
from lldm_aug.blending.convert import as_pair

if __name__ == "__main__":
    accelerator = Accelerator()
    numbers = torch.arange(24.0).reshape(24, 1, 1, 1, 1).expand(24, 1, 32, 28, 24)  # each real image shows its number
    real = TensorDataset(numbers, torch.zeros(24, 32, 28, 24, dtype=torch.int64))
    data = SyntheticMixin(real, pool="pools/x", ratio=0.25, mode="add", convert=as_pair)
    loader = accelerator.prepare(DataLoader(data, batch_sampler=BlendedBatchSampler(data, batch_size=4)))
    for epoch in range(2):
        loader.set_epoch(epoch)  # a prepared loader counts epochs itself: tell it where you resume,
        data.set_epoch(epoch)  # and tell the blend, which it does not find behind transforms
        seen = []
        for image, label in loader:
            synthetic = label.flatten(1).any(dim=1)
            assert synthetic.sum() == 1
            seen.append(image[~synthetic, 0, 0, 0, 0])
        everywhere = accelerator.gather(torch.cat(seen))
        assert sorted(everywhere.tolist()) == list(range(24))
        accelerator.print(f"epoch {epoch}: {len(loader)} batches on each of {accelerator.num_processes} process(es)")
    accelerator.end_training()  # processes that just stop may abort in their communication threads
