"""MONAI's dictionaries: files are loaded inside the blend, random transforms come around it."""

from pathlib import Path

from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandFlipd, RandSpatialCropd, ScaleIntensityd

from lldm_aug import SyntheticMixin
from lldm_aug.blending.convert import as_monai

keys = ["image", "label"]
load = Compose([LoadImaged(keys), EnsureChannelFirstd(keys)])
augment = Compose([ScaleIntensityd("image"), RandFlipd(keys, prob=0.5), RandSpatialCropd(keys, (24, 24, 24))])

if __name__ == "__main__":
    labels = sorted(Path("data/labelsTr").glob("*.nii.gz"))
    images = [Path("data/imagesTr", path.name.replace(".nii", "_0000.nii")) for path in labels]
    files = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]

    data = SyntheticMixin(Dataset(files, load), pool="pools/x", ratio=0.5, convert=as_monai)
    loader = DataLoader(Dataset(data, augment), batch_size=2, shuffle=True, num_workers=2)
    for epoch in range(2):
        data.set_epoch(epoch)
        for batch in loader:
            assert batch["image"].shape == (2, 1, 24, 24, 24)
            print(epoch, [Path(name).name for name in batch["image"].meta["filename_or_obj"]])
