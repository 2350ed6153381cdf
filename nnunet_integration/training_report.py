"""Do synthetic cases look like real ones to nnU-Net? Compared after preprocessing, where the network will see them.

The trap is the background: nnU-Net crops to non-zero voxels before it normalises, so noise where real images hold exact
zeros keeps the whole volume and shifts every intensity inside the body.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lldm_aug.errors import LldmAugError
from lldm_aug.io.nifti import read_image
from lldm_aug.pool.pool_dataset import PoolDataset
from nnunet_integration.prepared import PreparedSet
from nnunet_integration.target import Target

MAX_CASES = 24
MAX_ZEROS_APART = 0.1
MAX_CROP_APART = 0.2
MAX_SMALL_APART = 0.5
MAX_MEANS_APART_SD = 1.0
MAX_SD_RATIO = 2.0
_SHARES = (
    ("zeros", "exact zeros in the image (is the background exactly zero?)", MAX_ZEROS_APART),
    ("kept_by_crop", "volume kept by cropping to non-zero voxels", MAX_CROP_APART),
)


@dataclass(frozen=True)
class _Look:
    """What nnU-Net sees of one case: share kept by cropping, whether smaller than a patch, mean and SD per label."""

    kept: float
    small: bool
    labels: dict[str, tuple[float, float]]


def compare_with_real(target: Target, real: Sequence[str], prepared: PreparedSet, pool: PoolDataset) -> dict[str, Any]:
    """Compares up to 24 prepared cases with as many real ones.

    Args:
        target: the real data set.
        real: ids of the real cases to compare with.
        prepared: the synthetic cases.
        pool: the pool that they were made from.

    Returns:
        ``real`` and ``synthetic``, each with the number of cases, the median share of exact zeros in the images (None
        where the raw files are not at hand), the median share kept by cropping, the share smaller than a patch, and
        mean and SD of the normalised first channel per label; ``warnings``, a list of sentences.
    """
    names = list(prepared.cases())[:MAX_CASES]
    zeros = [_zeros(pool.image_paths(case)[0]) for case in pool.cases if case.case_id in set(names)]
    synthetic = _summary(target, prepared.data_folder, names, zeros)
    chosen = list(real)[:MAX_CASES]
    raw = Path(os.environ.get("nnUNet_raw", ""), target.name, "imagesTr")
    ending = target.dataset_json["file_ending"]
    zeros = [_zeros(raw / f"{name}_0000{ending}") for name in chosen]
    return _with_warnings(_summary(target, target.data_folder, chosen, zeros), synthetic)


def _summary(target: Target, folder: Path, names: Sequence[str], zeros: Sequence[float | None]) -> dict[str, Any]:
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    data = infer_dataset_class(str(folder))(str(folder), list(names))
    looks = [_look(data, name, target) for name in names]
    known = [share for share in zeros if share is not None]
    per_label = {
        label: np.mean([look.labels[label] for look in looks if label in look.labels], axis=0)
        for label in target.schema.names
        if any(label in look.labels for look in looks)
    }
    return {
        "cases": len(looks),
        "zeros": float(np.median(known)) if known else None,
        "kept_by_crop": float(np.median([look.kept for look in looks])),
        "smaller_than_patch": float(np.mean([look.small for look in looks])),
        "labels": {label: {"mean": float(mean), "sd": float(sd)} for label, (mean, sd) in per_label.items()},
    }


def _look(data: Any, name: str, target: Target) -> _Look:
    image, label, _, properties = data.load_case(name)
    image, label = np.asarray(image[0]), np.asarray(label[0])  # (Z, Y, X)
    before, after = properties["shape_before_cropping"], properties["shape_after_cropping_and_before_resampling"]
    patch = target.configuration.patch_size
    values = {structure: image[label == value] for structure, value in target.schema.values.items()}
    return _Look(
        kept=float(np.prod(after) / np.prod(before)),
        small=any(n < p for n, p in zip(image.shape[-len(patch) :], patch, strict=True)),
        labels={k: (float(v.mean()), float(v.std())) for k, v in values.items() if v.size},
    )


def _zeros(path: Path) -> float | None:
    try:
        return float(np.mean(read_image(path).data == 0))
    except LldmAugError:  # raw files may be elsewhere, or in another format: this figure is then left out
        return None


def _with_warnings(real: dict[str, Any], synthetic: dict[str, Any]) -> dict[str, Any]:
    warnings = []
    for key, words, limit in _SHARES:
        if real[key] is not None and synthetic[key] is not None and abs(real[key] - synthetic[key]) > limit:
            warnings.append(f"{words}: synthetic {synthetic[key]:.0%}, real {real[key]:.0%}")
    if synthetic["smaller_than_patch"] - real["smaller_than_patch"] > MAX_SMALL_APART:
        warnings.append(f"smaller than a patch, hence padded: {synthetic['smaller_than_patch']:.0%} of synthetic cases")
    for label, figures in synthetic["labels"].items():
        warnings += _label_warnings(label, figures, real["labels"].get(label))
    warnings += [f"{label}: in no synthetic case" for label in real["labels"] if label not in synthetic["labels"]]
    return {"real": real, "synthetic": synthetic, "warnings": warnings}


def _label_warnings(label: str, synthetic: dict[str, float], real: dict[str, float] | None) -> list[str]:
    if real is None:
        return [f"{label}: in no real case that was compared"]
    spread = max(real["sd"], 1e-6)
    found = []
    if abs(synthetic["mean"] - real["mean"]) > MAX_MEANS_APART_SD * spread:
        found.append(f"{label}: mean after normalisation {synthetic['mean']:.2f}, real {real['mean']:.2f}")
    if not 1 / MAX_SD_RATIO <= synthetic["sd"] / spread <= MAX_SD_RATIO:
        found.append(f"{label}: standard deviation after normalisation {synthetic['sd']:.2f}, real {real['sd']:.2f}")
    return found
