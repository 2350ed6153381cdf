"""Trained models for machines without this package: the same weights under the name of nnU-Net's own trainer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lldm_aug.errors import CheckpointError, IncompatibleResume
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.io.records import read_json
from lldm_aug.models.segmentation_networks import has_one_output
from nnunet_integration.variants import SUFFIX

CHECKPOINTS = "fold_*/checkpoint_*.pth"
BESIDE = ("*.json", "crossval_results_folds_*/postprocessing.*", "crossval_results_folds_*/summary.json")
"""What else prediction and post-processing read, or a reader of the model wants to know."""
_NUMPY: tuple[Any, ...] = (np.float64(0).__reduce__()[0], np.dtype, np.dtypes.Float32DType, np.dtypes.Float64DType)
"""What nnU-Net's checkpoints hold besides tensors and plain values: the figures of its log."""


def export_plain(model: Path, out: Path) -> Path:
    """Copies a trained model into a results folder, each checkpoint with nnU-Net's own trainer as its trainer.

    A blend changes nothing but the training data, so that trainer builds the same network, and predictions are the same
    voxel for voxel. Weights, settings and optimiser stay as they are.

    Args:
        model: folder ``DATASET/TRAINER__PLANS__CONFIGURATION`` of a training with a blend.
        out: results folder; gets ``DATASET/STOCK_TRAINER__PLANS__CONFIGURATION``.

    Returns:
        The new model's folder.

    Raises:
        CheckpointError: when there is no such model, or its network is not one of nnU-Net's.
        IncompatibleResume: when the new folder exists.
    """
    trainer, _, rest = model.name.partition("__")
    checkpoints = sorted(model.glob(CHECKPOINTS))
    if not rest or not checkpoints or not (model / "plans.json").is_file():
        fix = "give a folder such as nnUNet_results/Dataset700_X/nnUNetTrainerLLDMAug__nnUNetPlans__3d_fullres"
        raise CheckpointError("no trained model of nnU-Net", where=model, fix=fix)
    if not trainer.endswith(SUFFIX):
        raise CheckpointError(f"{trainer} is no trainer with a blend; nothing has to be changed", where=model)
    _check_network(model, rest.rpartition("__")[2])
    stock = trainer.removesuffix(SUFFIX)
    target = out / model.resolve().parent.name / f"{stock}__{rest}"
    if target.exists():
        raise IncompatibleResume("exists already", where=target, fix="delete it, or choose another --out")
    with atomic_folder(target) as temporary:
        for path in (found for pattern in BESIDE for found in sorted(model.glob(pattern))):
            copy = temporary / path.relative_to(model)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        for path in checkpoints:
            _rename_trainer(path, temporary / path.relative_to(model), trainer, stock)
    return target


def _check_network(model: Path, configuration: str) -> None:
    plans = read_json(model / "plans.json")["configurations"]
    settings = plans.get(configuration, {})
    while "architecture" not in settings and settings.get("inherits_from") in plans:
        settings = plans[settings["inherits_from"]]
    network = str(settings.get("architecture", {}).get("network_class_name", ""))
    if has_one_output(network):
        raise CheckpointError(
            f"its network is {network}, which needs this package wherever it predicts", where=model / "plans.json"
        )


def _rename_trainer(path: Path, copy: Path, trainer: str, stock: str) -> None:
    with torch.serialization.safe_globals(list(_NUMPY)):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if checkpoint.get("trainer_name") != trainer:
        raise CheckpointError(f"was made by {checkpoint.get('trainer_name')}, not {trainer}", where=path)
    copy.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**checkpoint, "trainer_name": stock}, copy)
