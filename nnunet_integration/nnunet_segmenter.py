"""A trained nnU-Net model as evaluation segmenter of synthetic images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.resample import canonical_grid, from_canonical, to_canonical
from lldm_aug.data.splits import Fold, load_split, parse_fold
from lldm_aug.errors import CheckpointError, DatasetError
from lldm_aug.geometry import Grid
from lldm_aug.io.hashing import sha256_file, sha256_json
from lldm_aug.io.records import read_json
from lldm_aug.labels import LabelSchema
from lldm_aug.models.segmenter import HeldoutDice, summarise_dice
from lldm_aug.pool.provenance import StageProvenance

CHECKPOINT = "checkpoint_final.pth"
STAGE = "segmenter"


@dataclass(frozen=True)
class NnunetSegmenter:
    """One fold of a trained nnU-Net model; tiles overlap by half, nothing is mirrored.

    Args:
        predictor: nnU-Net's ``nnUNetPredictor`` with the fold's weights.
        reorients: whether nnU-Net reads images in right-anterior-superior axes rather than as they are stored.
        hash: over plans, description and weights.
        schema: the structures that it finds.
        num_channels: image channels that it takes.
        heldout_dice: Dice in nnU-Net's own validation of the fold.
        stages: the training cases of the fold.
    """

    predictor: Any
    reorients: bool
    hash: str
    schema: LabelSchema
    num_channels: int
    heldout_dice: Mapping[str, HeldoutDice]
    stages: tuple[StageProvenance, ...]

    def segment(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        """See `lldm_aug.synthesis.evaluation_segmenter.EvaluationSegmenter`."""
        data, read = np.asarray(image, dtype=np.float32), grid
        if self.reorients:
            data, read = to_canonical(data, grid), canonical_grid(grid)
        properties = {"spacing": list(read.spacing_mm[::-1])}
        with contextlib.redirect_stdout(io.StringIO()):
            found = self.predictor.predict_single_npy_array(data.transpose(0, 3, 2, 1), properties)
        label = np.ascontiguousarray(np.asarray(found, dtype=np.int16).transpose(2, 1, 0))
        return from_canonical(label, grid) if self.reorients else label


def load_nnunet_segmenter(path: Path, device: torch.device) -> NnunetSegmenter | None:
    """Loads a fold of a model that nnU-Net trained; None where a folder belongs to no such model.

    nnU-Net reads its checkpoints with pickle, which can run code: use your own models only.

    Args:
        path: ``TRAINER__PLANS__CONFIGURATION`` if it holds one finished fold, or that fold's folder.
        device: where it is to run.

    Raises:
        CheckpointError: when there is no finished fold, more than one, or no validation scores.
        DatasetError: when nnU-Net is not installed, or the data set that it was trained on cannot be found.
    """
    if not any((folder / "plans.json").is_file() for folder in (path, path.parent)):
        return None
    fold_folder = _fold_folder(path)
    model, fold = fold_folder.parent, parse_fold(fold_folder.name.removeprefix("fold_"))
    description, plans = read_json(model / "dataset.json"), read_json(model / "plans.json")
    schema = LabelSchema.from_dataset_json(description, model / "dataset.json")
    files = (model / "dataset.json", model / "plans.json", fold_folder / CHECKPOINT)
    return NnunetSegmenter(
        predictor=load_predictor(model, fold, device),
        reorients="reorient" in str(plans.get("image_reader_writer", "")).lower(),
        hash=sha256_json([sha256_file(file) for file in files]),
        schema=schema,
        num_channels=len(description["channel_names"]),
        heldout_dice=_heldout_dice(fold_folder, schema),
        stages=(_provenance(str(plans["dataset_name"]), fold),),
    )


def _fold_folder(path: Path) -> Path:
    if (path / CHECKPOINT).is_file():
        return path
    found = sorted(file.parent for file in path.glob(f"fold_*/{CHECKPOINT}"))
    if not found:
        raise CheckpointError(f"no fold with a {CHECKPOINT}", where=path, fix="finish nnUNetv2_train first")
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise CheckpointError(f"holds {names}", where=path, fix="point to one of them: that of the generator's fold")
    return found[0]


def load_predictor(model: Path, fold: Fold, device: torch.device, *, use_mirroring: bool = False) -> Any:
    """nnU-Net's ``nnUNetPredictor`` with the weights of one finished fold; tiles overlap by half.

    Raises:
        DatasetError: when nnU-Net is not installed.
    """
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ModuleNotFoundError as error:
        raise DatasetError("nnU-Net is not installed", fix="pip install 'lldm_aug[nnunet]'") from error
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            use_mirroring=use_mirroring,
            perform_everything_on_device=device.type == "cuda",
            device=device,
            allow_tqdm=False,
        )
        predictor.initialize_from_trained_model_folder(str(model), (fold,), CHECKPOINT)
    return predictor


def _heldout_dice(fold_folder: Path, schema: LabelSchema) -> dict[str, HeldoutDice]:
    """Dice by structure over the validation cases of the fold, from nnU-Net's ``summary.json``."""
    path = fold_folder / "validation" / "summary.json"
    if not path.is_file():
        raise CheckpointError(
            "no validation scores",
            where=path,
            fix="run nnUNetv2_train with --val: the quality filter needs them as its scale",
        )
    cases = [case["metrics"] for case in read_json(path)["metric_per_case"]]
    return summarise_dice([{name: _shown_dice(case, value) for name, value in schema.values.items()} for case in cases])


def _shown_dice(metrics: dict[str, Any], value: int) -> float:
    """Dice of a label in one case; NaN where the truth lacks it, or nnU-Net scored regions instead."""
    found = metrics.get(str(value), {})
    return float(found["Dice"]) if found.get("n_ref") else float("nan")


def _provenance(dataset_name: str, fold: Fold) -> StageProvenance:
    try:
        dataset = RawDataset.find(dataset_name)
    except DatasetError as error:
        raise DatasetError(
            f"it is not known which cases of {dataset_name} the model was trained on ({error.what})",
            fix="set nnUNet_raw and nnUNet_preprocessed as they were for its training",
        ) from error
    split = load_split(dataset, fold, write=False)
    cases = {case_id: dataset.label_hash(case_id) for case_id in sorted(split.train)}
    return StageProvenance(stage=STAGE, dataset=dataset.name, fold=fold, split_hash=split.hash, cases=cases)
