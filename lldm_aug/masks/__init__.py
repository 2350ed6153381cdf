"""Masks that condition the generator: real ones, changed real ones, learned ones and procedural ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    import torch

    from lldm_aug.data.raw import RawDataset
    from lldm_aug.geometry import Grid
    from lldm_aug.labels import LabelSchema
    from lldm_aug.masks.source import MaskSource

KINDS = ("real", "deformed", "edited", "learned", "procedural")


def make_mask_source(
    kind: str,
    schema: LabelSchema,
    *,
    dataset: RawDataset | None,
    cases: Sequence[str],
    grid: Grid,
    model: Path | None = None,
    device: torch.device | str = "cpu",
) -> MaskSource:
    """A source of masks.

    Args:
        kind: one of `KINDS`.
        schema: the structures that masks must have.
        dataset: where real masks come from; procedural masks need none.
        cases: ids of the cases of it that may be used: training cases only.
        grid: the generator's grid, for procedural masks.
        model: a mask model's folder, or that of the generator or run that holds it, for learned masks.
        device: where learned masks are drawn.

    Raises:
        ConfigError: for an unknown kind, or learned masks without a folder.
        CheckpointError: when the folder holds no mask model, or a damaged one.
        DatasetError: when real masks are asked for without a data set or cases.
        LabelError: when this kind of mask does not exist for the schema.
    """
    from lldm_aug.masks.procedural import ProceduralMasks

    if kind not in KINDS:
        raise ConfigError(f"unknown kind of masks {kind!r}", fix=f"use one of {', '.join(KINDS)}")
    if kind == "procedural":
        return ProceduralMasks(schema, grid)
    if kind == "learned":
        return _learned(schema, model, device)
    if dataset is None or not cases:
        raise DatasetError(f"masks of kind {kind!r} need a data set with training cases", fix="give --data and --fold")
    return real_mask_source(kind, dataset, cases)


def real_mask_source(kind: str, dataset: RawDataset, cases: Sequence[str]) -> MaskSource:
    """A source of masks that are made from real cases; arguments and errors as `make_mask_source`."""
    from lldm_aug.masks.deformed import DeformedMasks
    from lldm_aug.masks.edited import EditedMasks
    from lldm_aug.masks.real import RealCases, RealMasks

    sources: dict[str, Callable[[RealCases], MaskSource]]
    sources = {"real": RealMasks, "deformed": DeformedMasks, "edited": EditedMasks}
    return sources[kind](RealCases(dataset, tuple(cases)))


def _learned(schema: LabelSchema, model: Path | None, device: torch.device | str) -> MaskSource:
    from lldm_aug.masks.learned import LearnedMasks
    from lldm_aug.models.mask_description import mask_model_folder
    from lldm_aug.models.mask_model import MaskModel

    if model is None:
        raise ConfigError("masks of kind 'learned' need a mask model", fix="run 'lldm-aug train masks' first")
    return LearnedMasks(MaskModel.load(mask_model_folder(model)).to(device), schema)
