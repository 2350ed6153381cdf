"""New lesions in real samples, in memory: MONAI loads them, then they are edited, then comes what is random."""

from pathlib import Path

from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandSpatialCropd, ScaleIntensityd

from lldm_aug import Inpaint

keys = ["image", "label"]
load = Compose([LoadImaged(keys), EnsureChannelFirstd(keys)])
augment = Compose([ScaleIntensityd("image"), RandSpatialCropd(keys, (24, 24, 24))])

if __name__ == "__main__":
    names = [path.name.removesuffix(".nii.gz") for path in sorted(Path("data/labelsTr").glob("*.nii.gz"))]
    training, validation = names[:4], names[4:]
    files = [
        {"image": f"data/imagesTr/{name}_0000.nii.gz", "label": f"data/labelsTr/{name}.nii.gz"} for name in training
    ]

    inpaint = Inpaint(None, "data", training=training)  # None: the embedded generator
    inpaint.check(validation)
    real = inpaint.over(Dataset(files, load), names=training)
    loader = DataLoader(Dataset(real, augment), batch_size=2, shuffle=True, num_workers=2, persistent_workers=True)
    for epoch in range(2):
        real.set_epoch(epoch)
        for batch in loader:
            assert batch["image"].shape == (2, 1, 24, 24, 24)
        print(epoch, "done")
