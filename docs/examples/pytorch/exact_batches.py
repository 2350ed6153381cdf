"""An exact share in every batch, in one process or on several ranks."""

import torch
from torch.utils.data import DataLoader, TensorDataset

from lldm_aug import BlendedBatchSampler, SyntheticMixin
from lldm_aug.blending.convert import as_pair

if __name__ == "__main__":
    real = TensorDataset(torch.zeros(18, 1, 32, 28, 24), torch.zeros(18, 32, 28, 24, dtype=torch.int64))
    data = SyntheticMixin(real, pool="pools/x", ratio=0.25, mode="add", convert=as_pair)

    loader = DataLoader(data, batch_sampler=BlendedBatchSampler(data, batch_size=4), num_workers=2)
    for epoch in range(2):
        data.set_epoch(epoch)
        for image, label in loader:
            synthetic = label.flatten(1).any(dim=1)
            assert image.shape == (4, 1, 32, 28, 24)
            assert synthetic.sum() == 1
        print(f"epoch {epoch}: {len(loader)} batches, each with 1 synthetic item in 4")

    # Without accelerate, each rank names itself (torch.distributed.get_rank()); no real item goes to both.
    ranks = [BlendedBatchSampler(data, batch_size=4, num_replicas=2, rank=rank) for rank in range(2)]
    dealt = [draw.source for sampler in ranks for batch in sampler for draw in batch if not draw.synthetic]
    assert len(dealt) == len({*dealt}) == 18
