"""TorchIO: a SubjectsDataset is wrapped; its own transform stays plain, the random one comes around the blend."""

from pathlib import Path

import torchio as tio
from monai.data import Dataset

from lldm_aug import SyntheticMixin
from lldm_aug.blending.convert import as_subject

augment = tio.Compose([tio.RescaleIntensity((0, 1)), tio.RandomFlip(axes=0), tio.CropOrPad((24, 24, 24))])


class BlendedSubjects(SyntheticMixin, tio.SubjectsDataset):
    """The same, mixed into the class."""


if __name__ == "__main__":
    subjects = [
        tio.Subject(
            image=tio.ScalarImage(f"data/imagesTr/{path.name.replace('.nii', '_0000.nii')}"), label=tio.LabelMap(path)
        )
        for path in sorted(Path("data/labelsTr").glob("*.nii.gz"))
    ]
    blend = {"pool": "pools/x", "ratio": 0.5, "convert": as_subject}
    for data in (SyntheticMixin(tio.SubjectsDataset(subjects), **blend), BlendedSubjects(subjects, **blend)):
        loader = tio.SubjectsLoader(Dataset(data, augment), batch_size=2, shuffle=True)
        for epoch in range(2):
            data.set_epoch(epoch)
            for batch in loader:
                assert batch["image"][tio.DATA].shape == (2, 1, 24, 24, 24)
                print(epoch, [stem or "synthetic" for stem in batch["image"][tio.STEM]])
