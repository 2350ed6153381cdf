"""What a pool is prepared for: a preprocessed data set with its plans and one configuration; and its leakage guard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lldm_aug.blending.leakage import Leak, check_leakage
from lldm_aug.data.patients import read_patients, relatives
from lldm_aug.data.raw import RAW_VARIABLE, find_dataset_folder
from lldm_aug.errors import DatasetError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.io.records import read_json
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance

_FACTS = (
    "preprocessor_name",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg",
    "resampling_fn_seg_kwargs",
)


@dataclass(frozen=True)
class Target:
    """A data set in ``$nnUNet_preprocessed`` with one configuration of its plans.

    Args:
        folder: its folder, ``DatasetXXX_Name``.
        dataset_json: its description.
        plans: nnU-Net's ``PlansManager``.
        configuration_name: name of the configuration.
    """

    folder: Path
    dataset_json: dict[str, Any]
    plans: Any
    configuration_name: str

    @classmethod
    def find(cls, dataset: str, configuration: str, plans: str = "nnUNetPlans") -> Target:
        """A target by ``700``, ``Dataset700`` or the whole name of the data set.

        Raises:
            DatasetError: when nnU-Net, the data set, its plans or the configuration is missing.
        """
        try:
            from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
        except ModuleNotFoundError as error:
            raise DatasetError("nnU-Net is not installed", fix="pip install 'lldm_aug[nnunet]'") from error

        folder = _find_preprocessed(dataset)
        advice = f"run nnUNetv2_plan_and_preprocess -d {folder.name[7:10]} first"
        manager = PlansManager(read_json(folder / f"{plans}.json", error=DatasetError, fix=advice))
        if configuration not in manager.available_configurations:
            names = ", ".join(manager.available_configurations)
            raise DatasetError(f"no configuration {configuration!r}; there are {names}", where=folder / f"{plans}.json")
        description = read_json(folder / "dataset.json", error=DatasetError, fix=advice)
        target = cls(folder, description, manager, configuration)
        if not target.data_folder.is_dir():
            raise DatasetError("the data set is not preprocessed", where=target.data_folder, fix=advice)
        return target

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.folder.name

    @property
    def configuration(self) -> Any:
        """nnU-Net's ``ConfigurationManager``."""
        return self.plans.get_configuration(self.configuration_name)

    @property
    def data_identifier(self) -> str:
        """Name of the folder of preprocessed cases; configurations that inherit share it."""
        return str(self.configuration.data_identifier)

    @property
    def data_folder(self) -> Path:
        """Folder of the real preprocessed cases."""
        return self.folder / self.data_identifier

    @property
    def schema(self) -> LabelSchema:
        """The labels, regions resolved."""
        return LabelSchema.from_dataset_json(self.dataset_json, self.folder / "dataset.json")

    def preprocessing(self) -> dict[str, Any]:
        """All that decides what a preprocessed case looks like; patch and batch size do not."""
        configuration = self.configuration.configuration
        return {
            **{key: configuration.get(key) for key in _FACTS},
            "transpose_forward": list(self.plans.transpose_forward),
            "image_reader_writer": self.plans.plans["image_reader_writer"],
            "intensities": self.plans.foreground_intensity_properties_per_channel,
            "labels": self.dataset_json["labels"],
        }

    def real_cases(self) -> tuple[str, ...]:
        """Sorted ids of the real preprocessed cases."""
        return tuple(sorted(path.stem for path in self.data_folder.glob("*.pkl")))

    def patients(self) -> dict[str, str]:
        """The patient of each case where ``patients.json`` in the raw or preprocessed data set says so.

        Raises:
            DatasetError: as `read_patients`.
        """
        raw = os.environ.get(RAW_VARIABLE)
        folders = [self.folder] if not raw else [Path(raw) / self.name, self.folder]
        return read_patients(self.real_cases(), *folders)

    def label_hashes(self, cases: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 of the original mask file of each case, as nnU-Net keeps a copy beside the preprocessed data."""
        ending = str(self.dataset_json["file_ending"])
        files = {case: self.folder / "gt_segmentations" / f"{case}{ending}" for case in cases}
        return {case: sha256_file(path) if path.is_file() else None for case, path in files.items()}


def _find_preprocessed(dataset: str) -> Path:
    root = os.environ.get("nnUNet_preprocessed")
    if not root:
        raise DatasetError("the environment variable nnUNet_preprocessed is not set", fix="set it as nnU-Net asks for")
    try:
        return find_dataset_folder(Path(root), dataset)
    except DatasetError as error:
        fix = "give the data set's whole name, or run nnUNetv2_plan_and_preprocess first"
        raise DatasetError(error.what, where=error.where, fix=fix) from error


def guard(
    target: Target,
    generator: GeneratorProvenance,
    origins: Iterable[MaskOrigin],
    *,
    training: Sequence[str],
    validation: Sequence[str],
    allow: bool,
) -> tuple[Leak, ...]:
    """Refuses synthetic cases, and a split, that have seen a validation case or another case of its patient.

    Args:
        target: the data set.
        generator: what each stage was trained on.
        origins: where the masks came from.
        training: ids of the real training cases.
        validation: ids of the validation cases.
        allow: warn instead.

    Returns:
        The leaks that were allowed.

    Raises:
        LeakageError: names each stage and its cases.
        DatasetError: when ``patients.json`` is no such file.
    """
    others = relatives(validation, target.patients())
    return check_leakage(
        generator,
        origins,
        dataset=target.name,
        validation=target.label_hashes([*validation, *others]),
        relatives=others,
        training=training,
        allow=allow,
    )
