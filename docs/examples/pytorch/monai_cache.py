"""CacheDataset and PersistentDataset: real items are cached, synthetic ones are drawn anew in every epoch."""

from functools import partial
from pathlib import Path

from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandFlipd

from lldm_aug import SyntheticMixin
from lldm_aug.blending.convert import as_monai

keys = ["image", "label"]
load = Compose([LoadImaged(keys), EnsureChannelFirstd(keys)])  # nothing random: this is what is cached
augment = RandFlipd(keys, prob=0.5)


class BlendedCache(SyntheticMixin, CacheDataset):
    """The same as wrapping it; the transforms that it is given are for real items alone."""


if __name__ == "__main__":
    labels = sorted(Path("data/labelsTr").glob("*.nii.gz"))
    images = [Path("data/imagesTr", path.name.replace(".nii", "_0000.nii")) for path in labels]
    files = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
    blend = {"pool": "pools/x", "ratio": 0.5, "convert": as_monai}
    plain = {**blend, "convert": partial(as_monai, track_meta=False)}  # PersistentDataset keeps no meta information

    for data in (
        SyntheticMixin(CacheDataset(files, load, progress=False), **blend),
        SyntheticMixin(PersistentDataset(files, load, cache_dir="cache"), **plain),
        BlendedCache(files, load, progress=False, **blend),
    ):
        loader = DataLoader(Dataset(data, augment), batch_size=2, shuffle=True)
        for epoch in range(2):
            data.set_epoch(epoch)
            print(epoch, [draw.source for draw in map(data.draw, range(len(data))) if draw.synthetic])
            assert sum(len(batch["image"]) for batch in loader) == 6
