"""Hugging Face `datasets`: rows are dictionaries of columns, from a table or from a stream."""

from functools import partial

import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader

from lldm_aug import SyntheticIterable, SyntheticMixin
from lldm_aug.blending.convert import as_row

if __name__ == "__main__":
    image, mask = np.zeros((12, 1, 32, 28, 24), np.float32), np.zeros((12, 32, 28, 24), np.int16)
    table = Dataset.from_dict({"scan": list(image), "mask": list(mask)}).with_format("torch")
    blend = {"pool": "pools/x", "ratio": 0.25, "convert": partial(as_row, image="scan", label="mask")}

    for data in (
        SyntheticMixin(table, **blend),
        SyntheticIterable(table.to_iterable_dataset(num_shards=2), **blend),
    ):
        loader = DataLoader(data, batch_size=4, num_workers=2)
        for epoch in range(2):
            data.set_epoch(epoch)  # a Hugging Face stream that was shuffled is told, too
            masks = [mask for batch in loader for mask in batch["mask"]]
            print(f"epoch {epoch}: {sum(bool(m.any()) for m in masks)} of {len(masks)} rows are synthetic")
            assert len(masks) == 12
