"""An nnU-Net raw data set: ``dataset.json``, and ``imagesTr`` and ``labelsTr`` or the files that it lists."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.intensity import Scale, common_scale, measure_scale, scales_by_dataset
from lldm_aug.data.names import safe_name
from lldm_aug.errors import DatasetError, InvalidVolume
from lldm_aug.geometry import Grid
from lldm_aug.io.hashing import sha256_file
from lldm_aug.io.nifti import SUFFIXES, read_image, read_label
from lldm_aug.io.records import read_json
from lldm_aug.labels import LabelSchema
from lldm_aug.volume import Volume


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


RAW_VARIABLE = "nnUNet_raw"


@dataclass(frozen=True)
class Case:
    """One annotated case on its own grid.

    Args:
        case_id: its name in the data set.
        image: (C, X, Y, Z) float32.
        label: (X, Y, Z) int16.
        grid: the grid of both.
    """

    case_id: str
    image: np.ndarray
    label: np.ndarray
    grid: Grid


class RawDataset:
    """A data set in nnU-Net's raw layout.

    Args:
        folder: the ``DatasetXXX_Name`` folder.

    Raises:
        DatasetError: when ``dataset.json`` or the cases are missing or inconsistent.
        LabelError: when its labels are no usable schema.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "dataset.json"
        fix = "point to a data set in nnU-Net's raw layout"
        self.description = read_json(path, error=DatasetError, fix=fix)
        self.schema = LabelSchema.from_dataset_json(self.description, path)
        self.file_ending = self.description.get("file_ending", ".nii.gz")
        if self.file_ending not in SUFFIXES:
            raise DatasetError(f"cannot read {self.file_ending!r} files", where=path, fix="convert to .nii.gz")

    @classmethod
    def find(cls, name: str | Path) -> RawDataset:
        """A data set by folder, or by ``700``, ``Dataset700`` or ``Dataset700_Name`` in ``$nnUNet_raw``.

        Raises:
            DatasetError: when there is none, or more than one.
        """
        if Path(name).is_dir():
            return cls(Path(name))
        root = os.environ.get(RAW_VARIABLE)
        if not root:
            raise DatasetError(f"no folder {str(name)!r}", fix="give a folder, or set nnUNet_raw to use data set names")
        return cls(find_dataset_folder(Path(root), str(name)))

    @property
    def name(self) -> str:
        """The folder's name, such as ``Dataset700_HBPPhantom``."""
        return self.folder.resolve().name

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the image channels in the order of their file suffix."""
        channels = self.description.get("channel_names")
        if not isinstance(channels, dict) or set(channels) != {str(i) for i in range(len(channels))} or not channels:
            found = f"'channel_names' is {channels!r}"
            raise DatasetError(found, where=self.folder / "dataset.json", fix='write for instance {"0": "MR"}')
        return tuple(str(channels[str(i)]) for i in range(len(channels)))

    @cached_property
    def case_ids(self) -> tuple[str, ...]:
        """Sorted ids of the training cases.

        Raises:
            DatasetError: as `find_case_files`.
        """
        return tuple(self._files)

    @cached_property
    def _files(self) -> dict[str, CaseFiles]:
        return find_case_files(self.folder, self.description, self.file_ending, len(self.channel_names))

    def _files_of(self, case_id: str) -> CaseFiles:
        if case_id not in self._files:
            raise DatasetError(f"no case {case_id!r}", where=self.folder)
        return self._files[case_id]

    def image_paths(self, case_id: str) -> tuple[Path, ...]:
        """The image files of a case, one a channel."""
        return self._files_of(case_id).images

    def label_path(self, case_id: str) -> Path:
        """The mask file of a case."""
        return self._files_of(case_id).label

    def load_label(self, case_id: str) -> Volume:
        """The checked mask of a case, (X, Y, Z) int16.

        Raises:
            InvalidVolume, LabelError: as `read_label` and `LabelSchema.check`.
        """
        label = read_label(self.label_path(case_id))
        self.schema.check(label.data, self.label_path(case_id))
        return label

    def load(self, case_id: str) -> Case:
        """The checked image and mask of a case.

        Raises:
            InvalidVolume: when a file is damaged, or the grids differ by more than 0.001 mm at a corner.
            LabelError: when the mask does not fit the schema.
            DatasetError: for a case that the data set lacks.
        """
        label = self.load_label(case_id)
        channels = []
        for path in self.image_paths(case_id):
            channel = read_image(path)
            check_same_grid(channel.grid, path, label.grid, self.label_path(case_id))
            channels.append(channel.data)
        return Case(case_id, np.stack(channels), label.data, label.grid)

    def common_scale(self, case_ids: Sequence[str], settings: IntensitySettings) -> Scale | None:
        """The scale that serves all cases, measured on some of them as nnU-Net does; None where each has its own."""
        if not scales_by_dataset(settings, self.channel_names):
            return None
        return common_scale([measure_scale(self.load(case_id).image, settings) for case_id in case_ids])

    def label_hash(self, case_id: str) -> str:
        """SHA-256 of the mask file: finds a case again under another name."""
        return sha256_file(self.label_path(case_id))


def find_dataset_folder(root: Path, name: str) -> Path:
    """The folder in ``$nnUNet_raw`` or ``$nnUNet_preprocessed`` of ``700``, ``Dataset700`` or ``Dataset700_Name``.

    Raises:
        DatasetError: when there is none, or more than one.
    """
    prefix = f"Dataset{int(name):03d}" if name.isascii() and name.isdecimal() else name
    folders = (p for p in sorted(root.glob("Dataset*")) if p.is_dir())
    found = [p for p in folders if p.name == prefix or p.name.startswith(f"{prefix}_")]
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DatasetError(f"{len(found)} data sets match {name!r} ({names})", where=root)
    return found[0]


def check_same_grid(image: Grid, image_path: Path, label: Grid, label_path: Path) -> None:
    """Raises InvalidVolume, naming both files, when an image and its mask lie on different grids."""
    if image.shape != label.shape:
        raise InvalidVolume(f"shape {image.shape}, but {label_path.name} has {label.shape}", where=image_path)
    if not image.matches(label):
        raise InvalidVolume(
            f"corners lie up to {image.displacement_mm(label):.3f} mm from those of {label_path.name}",
            where=image_path,
            fix="resample the mask onto the image's grid, or repair the wrong header",
        )
