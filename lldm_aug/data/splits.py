"""Which cases of a fold train, which validate, and which of them are labelled.

nnU-Net's own cross-validation split is read from ``splits_final.json``, or made identically. In the few-label situation
a share of the training cases is labelled; the rest are images alone, or left out.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from lldm_aug.data.patients import by_patient, read_patients, relatives
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import DatasetError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.hashing import sha256_json
from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng

NUM_FOLDS = 5
NNUNET_SEED = 12345
PREPROCESSED_VARIABLE = "nnUNet_preprocessed"
Fold = int | str


@dataclass(frozen=True)
class Split:
    """One fold.

    Args:
        fold: its number, or ``"all"`` (everything is training, nothing is held out).
        train: ids of the training cases.
        val: ids of the validation cases.
    """

    fold: Fold
    train: tuple[str, ...]
    val: tuple[str, ...]

    @property
    def hash(self) -> str:
        """SHA-256 of both lists: names the split whatever its fold number."""
        return sha256_json({"train": sorted(self.train), "val": sorted(self.val)})


class FoldLists(TypedDict):
    """One entry of ``splits_final.json``."""

    train: list[str]
    val: list[str]


_SPLITS = TypeAdapter(list[FoldLists])


def make_splits(case_ids: tuple[str, ...], patients: Mapping[str, str] = MappingProxyType({})) -> list[FoldLists]:
    """The split that nnU-Net 2.8 makes: KFold(5, shuffle=True, random_state=12345) over the sorted ids.

    Args:
        case_ids: the cases.
        patients: the patient of each case, if known: then it is patients that are split, not cases.

    Raises:
        DatasetError: for fewer cases, or patients, than folds.
    """
    groups = by_patient(case_ids, patients)
    if len(groups) < NUM_FOLDS:
        fix = "use --fold all, or write splits_final.json"
        what = "patients" if patients else "cases"
        raise DatasetError(f"{len(groups)} {what} cannot be split into {NUM_FOLDS} folds", fix=fix)
    order = np.arange(len(groups))
    np.random.RandomState(NNUNET_SEED).shuffle(order)
    held_out = [{case for i in part for case in groups[i]} for part in np.array_split(order, NUM_FOLDS)]
    ids = sorted(case_ids)
    return [{"train": [i for i in ids if i not in val], "val": [i for i in ids if i in val]} for val in held_out]


def splits_path(dataset: RawDataset) -> Path | None:
    """Where nnU-Net keeps the split, or None without ``$nnUNet_preprocessed``."""
    root = os.environ.get(PREPROCESSED_VARIABLE)
    return Path(root) / dataset.name / "splits_final.json" if root else None


def patients_of(dataset: RawDataset) -> dict[str, str]:
    """As `read_patients`, for a data set and what nnU-Net has preprocessed of it."""
    path = splits_path(dataset)
    return read_patients(dataset.case_ids, dataset.folder, *([] if path is None else [path.parent]))


def load_split(dataset: RawDataset, fold: Fold, *, write: bool = True) -> Split:
    """The training and validation cases of a fold.

    Reads ``splits_final.json``; where there is none, makes it just as nnU-Net would and, if ``$nnUNet_preprocessed`` is
    set and ``write`` (a dry run does not), writes it there, so that generator and segmenter share it.

    Where ``patients.json`` names the patients (see `read_patients`), a split that is made keeps each on one side.

    Raises:
        DatasetError: for a fold that the split lacks, or a split with cases that the data set lacks, or with cases or
            patients that are in both training and validation.
    """
    path, patients = splits_path(dataset), patients_of(dataset)
    split = split_of(dataset.case_ids, path, fold, patients=patients, write=write)
    torn = relatives(split.val, patients).keys() & {*split.train}
    if torn:
        found = (
            f"patients in training and validation of fold {fold}: {', '.join(sorted({patients[c] for c in torn})[:5])}"
        )
        raise DatasetError(found, where=path, fix="delete this file, and a split by patients is made")
    return split


def split_of(
    case_ids: tuple[str, ...],
    path: Path | None,
    fold: Fold,
    *,
    patients: Mapping[str, str] = MappingProxyType({}),
    write: bool = True,
) -> Split:
    """As `load_split`, for ids and a ``splits_final.json`` that are known; without a file, ``path`` is None.

    A patient on both sides of a split that exists is no error here.
    """
    if fold == "all":
        return Split("all", case_ids, ())
    if path is not None and path.exists():
        splits = _read_splits(path)
    else:
        splits = make_splits(case_ids, patients)
        if path is not None and write:
            write_json(path, splits)
    if not isinstance(fold, int) or not 0 <= fold < len(splits):
        raise DatasetError(f"no fold {fold!r}; there are 0..{len(splits) - 1} and 'all'", where=path)
    split = Split(fold, tuple(splits[fold]["train"]), tuple(splits[fold]["val"]))
    unknown = sorted({*split.train, *split.val} - {*case_ids})
    if unknown:
        raise DatasetError(f"the split names cases that the data set lacks: {', '.join(unknown[:5])}", where=path)
    both = sorted({*split.train} & {*split.val})
    if both:
        raise DatasetError(f"in training and validation of fold {fold}: {', '.join(both[:5])}", where=path)
    return split


def _read_splits(path: Path) -> list[FoldLists]:
    try:
        return _SPLITS.validate_json(path.read_bytes(), strict=True)
    except (ValidationError, OSError) as error:
        fix = "delete it, or repair it"
        raise DatasetError("not a list of folds with 'train' and 'val'", where=path, fix=fix) from error


def parse_fold(text: str) -> Fold:
    """``"0"`` to 0, ``"all"`` to ``"all"``.

    Raises:
        DatasetError: for anything else.
    """
    if text == "all":
        return text
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise DatasetError(f"fold {text!r} is neither a number nor 'all'")
    return int(text)


def parse_folds(text: str) -> tuple[int, ...]:
    """``"0-4"`` to 0, 1, 2, 3, 4, and ``"0,2"`` to 0, 2; each once, in this order.

    Raises:
        DatasetError: for anything else.
    """
    folds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part.strip())
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise DatasetError(f"folds {text!r} are no numbers such as '0-4' or '0,2'")
        folds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(dict.fromkeys(folds))


Images = Literal["labelled", "fold"]


class LabelFraction(Record):
    """Which of a fold's training cases may be used, and how.

    Args:
        fraction: of the training cases (of the patients, where they are known) that are labelled.
        seed: decides which; shares of one seed are nested, so that 10 % are part of 25 %.
        images: ``labelled`` leaves the other cases out; ``fold`` keeps their images, without their labels.
    """

    fraction: Annotated[float, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    images: Images = "labelled"

    def labelled(self, train: tuple[str, ...], patients: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
        """Sorted ids of the labelled ones among the training cases of a fold; at least one."""
        groups = by_patient(train, patients)
        order = numpy_rng("labelled share", self.seed).permutation(len(groups))
        count = max(1, math.ceil(round(self.fraction * len(groups), 6)))
        return tuple(sorted(case for number in order[:count] for case in groups[number]))
