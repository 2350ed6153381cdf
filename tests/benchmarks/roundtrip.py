"""What the generator's grid and its autoencoder cost real cases.

For each case: Dice of the mask against itself after the way to the grid and back, per structure, and the error of the
image on the same way, alone and through the autoencoder (as a share of the case's robust intensity range).

Usage: python tests/benchmarks/roundtrip.py --data DATASET --run RUN [--cases N]
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.evaluation.dice import dice
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.synthesis.plan import generator_folder
from lldm_aug.volume import Volume


def view_of(case: Case, frame: Frame) -> tuple[slice, ...]:
    """The voxels of a case that the generator's field of view covers."""
    view = frame.native_view()
    start = np.rint(case.grid.to_voxels(view.to_mm(np.zeros(3)))).astype(int)
    return tuple(slice(s, s + n) for s, n in zip(start, view.shape, strict=True))


def way_and_back(case: Case, description: Description, autoencoder: Autoencoder) -> dict[str, float]:
    """Figures of one case."""
    frame = Frame.around(Volume(case.label, case.grid), description.shape, description.spacing_mm)
    scale = measure_scale(case.image, IntensitySettings())
    window, limit = view_of(case, frame), description.intensity.limit
    truth = scale.apply(case.image, limit)[:, *window]
    label, image = frame.label_in(case.label), scale.apply(frame.image_in(case.image), limit)
    figures = dice(frame.label_out(label), case.label[window], description.labels)
    with torch.inference_mode():
        condition = encode_mask(torch.from_numpy(label)[None], description.labels)
        latent, _ = autoencoder.encode(torch.from_numpy(image)[None])
        decoded = autoencoder.decode(latent, condition)[0][0].numpy()
    figures["grid L1"] = float(np.abs(frame.image_out(image) - truth).mean() / 2)
    figures["autoencoder L1"] = float(np.abs(decoded - image).mean() / 2)
    figures["autoencoder PSNR dB"] = float(10 * np.log10(4 / np.mean((decoded - image) ** 2)))
    figures["both L1"] = float(np.abs(frame.image_out(decoded) - truth).mean() / 2)
    return figures


@click.command()
@click.option("--data", required=True)
@click.option("--run", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--cases", type=int, default=None, help="Only the first N.")
def main(data: str, run: Path, cases: int | None) -> None:
    """Prints one line a case."""
    dataset, generator = RawDataset.find(data), Generator.load(generator_folder(run))
    description = generator.description
    print(f"grid {description.shape} at {description.spacing_mm} mm, compression {description.compression}")
    for case_id in dataset.case_ids[:cases]:
        case = dataset.load(case_id)
        figures = way_and_back(case, description, generator.autoencoder)
        print(case_id, case.image.shape, " ".join(f"{name}={value:.4f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
