"""Which files belong to which case of an nnU-Net raw data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lldm_aug.data.names import safe_name
from lldm_aug.errors import DatasetError


@dataclass(frozen=True)
class CaseFiles:
    """The files of a training case.

    Args:
        images: one a channel.
        label: the mask.
    """

    images: tuple[Path, ...]
    label: Path


def find_case_files(folder: Path, description: Mapping[str, Any], ending: str, channels: int) -> dict[str, CaseFiles]:
    """The files of each training case by sorted id: those that ``dataset.json`` lists, or else imagesTr and labelsTr.

    Raises:
        DatasetError: when there are none, an image lacks its mask or a mask its image, or an id is no plain name.
    """
    if "dataset" in description:
        files = _listed(folder, description["dataset"])
    else:
        files = _in_folders(folder, ending, channels)
    if not files:
        raise DatasetError("no training cases", where=folder)
    wrong = [case_id for case_id, case in files.items() if len(case.images) != channels]
    if wrong:
        raise DatasetError(f"case {wrong[0]} has not just one image for each of {channels} channels", where=folder)
    return dict(sorted(files.items()))


def _in_folders(folder: Path, ending: str, channels: int) -> dict[str, CaseFiles]:
    labels, images = _ids_in(folder / "labelsTr", ending), _ids_in(folder / "imagesTr", f"_0000{ending}")
    if labels != images:
        odd = ", ".join(sorted(labels ^ images)[:5])
        raise DatasetError(f"only an image or only a mask: {odd}", where=folder, fix="add what is missing")
    return {
        case_id: CaseFiles(
            tuple(folder / "imagesTr" / f"{case_id}_{i:04d}{ending}" for i in range(channels)),
            folder / "labelsTr" / f"{case_id}{ending}",
        )
        for case_id in labels
    }


def _ids_in(folder: Path, ending: str) -> set[str]:
    files = folder.glob(f"*{ending}")
    return {safe_name(p.name.removesuffix(ending)) for p in files if not p.name.startswith(".")}


def _listed(folder: Path, listing: Any) -> dict[str, CaseFiles]:
    def path(text: str) -> Path:
        return folder / os.path.expandvars(text)  # as nnU-Net does; an absolute path stays what it is

    try:
        return {
            safe_name(case_id): CaseFiles(tuple(path(p) for p in entry["images"]), path(entry["label"]))
            for case_id, entry in listing.items()
        }
    except (TypeError, KeyError, AttributeError) as error:
        fix = 'write {"dataset": {"case": {"images": ["..."], "label": "..."}}}'
        raise DatasetError("unusable list of files", where=folder / "dataset.json", fix=fix) from error
