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

from lldm_aug.config.schema import AutoencoderSettings, IntensitySettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.metrics.dice import dice
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import encode_mask
from lldm_aug.training.export import read_export
from lldm_aug.training.prepared_cases import CaseSet, CaseSetRecord
from lldm_aug.volume import Volume


def view_of(case: Case, frame: Frame) -> tuple[slice, ...]:
    """The voxels of a case that the generator's field of view covers."""
    view = frame.native_view()
    start = np.rint(case.grid.to_voxels(view.to_mm(np.zeros(3)))).astype(int)
    return tuple(slice(s, s + n) for s, n in zip(start, view.shape, strict=True))


def way_and_back(case: Case, cases: CaseSet, autoencoder: Autoencoder) -> dict[str, float]:
    """Figures of one case."""
    record = cases.record
    frame = Frame.around(Volume(case.label, case.grid), record.shape, record.spacing_mm)
    scale = measure_scale(case.image, IntensitySettings())
    window, limit = view_of(case, frame), record.intensity.limit
    truth = scale.apply(case.image, limit)[:, *window]
    label, image = frame.label_in(case.label), scale.apply(frame.image_in(case.image), limit)
    figures = dice(frame.label_out(label), case.label[window], cases.schema)
    with torch.inference_mode():
        condition = encode_mask(torch.from_numpy(label)[None], cases.schema)
        latent, _ = autoencoder.encode(torch.from_numpy(image)[None])
        decoded = autoencoder.decode(latent, condition)[0][0].numpy()
    figures["grid L1"] = float(np.abs(frame.image_out(image) - truth).mean() / 2)
    figures["autoencoder L1"] = float(np.abs(decoded - image).mean() / 2)
    figures["autoencoder PSNR dB"] = float(10 * np.log10(4 / np.mean((decoded - image) ** 2)))
    figures["both L1"] = float(np.abs(frame.image_out(decoded) - truth).mean() / 2)
    return figures


def load_cases(run: Path) -> CaseSet:
    """What the run's generator knows of its data."""
    return CaseSet(run / "cases", CaseSetRecord.model_validate_json((run / "cases" / "cases.json").read_bytes()))


def load_autoencoder(run: Path, cases: CaseSet) -> Autoencoder:
    """The run's finished autoencoder."""
    export = read_export(run / "autoencoder" / "export", "roundtrip")
    settings = AutoencoderSettings.model_validate(export.record.facts["autoencoder"])
    channels = len(cases.record.dataset_json["channel_names"])
    autoencoder = Autoencoder(channels, len(cases.schema.names), cases.record.compression, settings)
    export.fill("autoencoder", autoencoder)
    return autoencoder.eval()


@click.command()
@click.option("--data", required=True)
@click.option("--run", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--cases", type=int, default=None, help="Only the first N.")
def main(data: str, run: Path, cases: int | None) -> None:
    """Prints one line a case."""
    dataset, prepared = RawDataset.find(data), load_cases(run)
    autoencoder = load_autoencoder(run, prepared)
    record = prepared.record
    print(f"grid {record.shape} at {record.spacing_mm} mm, compression {record.compression}")
    for case_id in dataset.case_ids[:cases]:
        case = dataset.load(case_id)
        figures = way_and_back(case, prepared, autoencoder)
        print(case_id, case.image.shape, " ".join(f"{name}={value:.4f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
