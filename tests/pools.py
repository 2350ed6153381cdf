"""Valid pools of random blobs, written without any generator."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_nifti
from lldm_aug.pool.manifest import POOL_FILE, MaskOrigin, PoolCase, PoolInfo, append_case, read_cases
from lldm_aug.pool.pool_dataset import file_record
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

DATASET_JSON = {
    "channel_names": {"0": "MR"},
    "labels": {"background": 0, "liver": 1, "hcc": 2},
    "numTraining": 0,
    "file_ending": ".nii.gz",
}
GRID = Grid.regular((32, 28, 24), (2.0, 2.0, 3.0))


def blob_case(seed: int, index: int, grid: Grid = GRID) -> tuple[np.ndarray, np.ndarray]:
    """Image (X, Y, Z) float32 with exact zeros outside a body, and mask int16 with a liver and a tumour."""
    rng = numpy_rng("blob", seed, index)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij")
    centre = rng.uniform(-0.2, 0.2, 3)
    distance = np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)))
    label = np.where(distance < 0.6, 1, 0)
    offset = centre + rng.uniform(-0.2, 0.2, 3)
    label[np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, offset, strict=True))) < 0.25] = 2
    texture = gaussian_filter(rng.normal(size=grid.shape), 1.0)
    image = 100 + 60 * (label == 1) - 50 * (label == 2) + 30 * texture
    image[distance > 0.9] = 0
    return image.astype(np.float32), label.astype(np.int16)


def write_dataset(folder: Path, cases: int = 6, seed: int = 0, labels: Mapping[str, object] | None = None) -> Path:
    """A data set in nnU-Net's raw layout."""
    for index in range(cases):
        image, label = blob_case(seed, index)
        write_nifti(folder / "imagesTr" / f"case_{index:02d}_0000.nii.gz", Volume(image, GRID))
        write_nifti(folder / "labelsTr" / f"case_{index:02d}.nii.gz", Volume(label, GRID))
    labels = labels or DATASET_JSON["labels"]
    write_json(folder / "dataset.json", {**DATASET_JSON, "labels": labels, "numTraining": cases})
    return folder


def provenance(
    dataset: str = "Dataset999_Other", cases: Mapping[str, str] | Sequence[str] = ("case_x",), fold: int | str = 0
) -> GeneratorProvenance:
    """A generator whose two stages saw these cases."""
    seen = dict(cases) if isinstance(cases, Mapping) else dict.fromkeys(cases, "0" * 64)
    stages = [
        StageProvenance(stage=stage, dataset=dataset, fold=fold, split_hash="s", cases=seen)
        for stage in ("autoencoder", "diffusion")
    ]
    return GeneratorProvenance(hash="g" * 64, stages=tuple(stages))


def write_pool(
    folder: Path,
    cases: int = 5,
    seed: int = 1,
    *,
    generator: GeneratorProvenance | None = None,
    origin: MaskOrigin | None = None,
    dataset_json: Mapping[str, object] = DATASET_JSON,
    background: float = 0.0,
) -> Path:
    """A pool; ``background`` is the standard deviation of noise where real images hold exact zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    info = PoolInfo(
        lldm_aug_version="0.1.0",
        seed=seed,
        mask_source="procedural",
        mask_dataset=None,
        fold=None,
        split_hash=None,
        dataset_json=dict(dataset_json),
        generator=generator or provenance(),
        settings_hash="h",
        settings={},
    )
    write_json(folder / POOL_FILE, json.loads(info.model_dump_json()))
    for index in range(cases):
        write_pool_case(folder, index, seed, origin or MaskOrigin(kind="procedural"), background)
    return folder


def write_pool_case(folder: Path, index: int, seed: int, origin: MaskOrigin, background: float = 0.0) -> None:
    """Adds one case to a pool."""
    case_id = f"syn_{index:04d}"
    image, label = blob_case(seed, index)
    if background:
        noise = numpy_rng("background", seed, index).normal(scale=background, size=image.shape).astype(np.float32)
        image = np.where(image == 0, noise, image)
    names = {f"images/{case_id}_0000.nii.gz": image, f"labels/{case_id}.nii.gz": label}
    for name, data in names.items():
        write_nifti(folder / name, Volume(data, GRID))
    files = {name: file_record(folder / name) for name in names}
    append_case(folder, PoolCase(case_id=case_id, index=index, seed=seed, mask=origin, files=files))


def content(pool: Path) -> dict[str, str]:
    """Hash of every file by name."""
    return {name: r.sha256 for case in read_cases(pool).values() for name, r in case.files.items()}
