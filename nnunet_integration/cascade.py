"""What a cascade's previous stage makes of synthetic cases: its segmentations are channels of the next stage.

``lldm_aug/<set>/fold_<k>/previous_stage/<configuration>/*.b2nd`` holds them, and ``<configuration>.json`` beside it
says which model they are from. It is the model of the same fold, which has never seen a validation case.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lldm_aug.data.splits import Fold
from lldm_aug.errors import DatasetError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.hashing import sha256_file
from lldm_aug.io.records import read_json
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.pool_dataset import PoolDataset
from nnunet_integration.prepared import PreparedSet
from nnunet_integration.target import Target

CHECKPOINT = "checkpoint_final.pth"
ENDING = ".b2nd"
TRAINER = "nnUNetTrainerLLDMAug"


@dataclass(frozen=True)
class PreviousStage:
    """The previous stage of a prepared set for a cascade.

    Args:
        target: the data set with the cascade's configuration.
        prepared: the set.
        fold: fold of both stages.
        trainer: name of the previous stage's trainer.
    """

    target: Target
    prepared: PreparedSet
    fold: Fold
    trainer: str = TRAINER

    @classmethod
    def of(cls, target: Target, prepared: PreparedSet, fold: Fold, trainer: str | None) -> PreviousStage | None:
        """The previous stage, or None where the configuration is no cascade."""
        is_cascade = target.configuration.previous_stage_name is not None
        return cls(target, prepared, fold, trainer or TRAINER) if is_cascade else None

    @property
    def configuration_name(self) -> str:
        """Its configuration, such as ``3d_lowres``."""
        return str(self.target.configuration.previous_stage_name)

    @property
    def folder(self) -> Path:
        """Where the segmentations are."""
        return self.prepared.root / "previous_stage" / self.configuration_name

    @property
    def model(self) -> Path:
        """Folder of the trained model."""
        results = Path(os.environ.get("nnUNet_results", "nnUNet_results"))
        plans = self.target.plans.plans_name
        return results / self.target.name / f"{self.trainer}__{plans}__{self.configuration_name}"

    @property
    def model_hash(self) -> str | None:
        """SHA-256 of the weights that the segmentations are from, None where there are none."""
        path = self._model_path
        return str(read_json(path)["sha256"]) if path.is_file() else None

    @property
    def _model_path(self) -> Path:
        return self.folder.with_name(f"{self.configuration_name}.json")

    def missing(self, cases: Iterable[str]) -> list[str]:
        """The cases that have no segmentation."""
        return [name for name in cases if not (self.folder / f"{name}{ENDING}").is_file()]

    def forget(self, case_id: str) -> None:
        """Removes the segmentation of a case whose image has changed."""
        (self.folder / f"{case_id}{ENDING}").unlink(missing_ok=True)

    def check_trained(self) -> str:
        """SHA-256 of the model's weights.

        Raises:
            DatasetError: when it is not trained yet; says how to.
        """
        checkpoint = self.model / f"fold_{self.fold}" / CHECKPOINT
        if not checkpoint.is_file():
            number = self.target.name[7:10]
            raise DatasetError(
                f"{self.target.configuration_name} is a cascade, and its previous stage {self.configuration_name} is "
                f"not trained for fold {self.fold}",
                where=checkpoint,
                fix=f"run 'nnUNetv2_train {number} {self.configuration_name} {self.fold} -tr {self.trainer}' first, "
                "or give another --previous-trainer",
            )
        return sha256_file(checkpoint)

    def check_complete(self, cases: Iterable[str]) -> None:
        """Refuses synthetic cases without a segmentation, before a worker stumbles over them.

        Raises:
            DatasetError: names a case, and says how to make them.
        """
        missing = self.missing(cases)
        if missing:
            number, name = self.target.name[7:10], self.target.configuration_name
            raise DatasetError(
                f"{len(missing)} synthetic cases lack segmentations of the previous stage, such as {missing[0]}",
                where=self.folder,
                fix=f"train {self.configuration_name}, then run 'lldm-aug nnunet prepare -d {number} -c {name} "
                f"--fold {self.fold}' again with the same --pool and --name; or blend into no cascade",
            )

    def make(self, pool: PoolDataset, progress: Callable[[int], None] = lambda done: None) -> None:
        """Segments what is missing of the prepared cases; all of them where the model has changed.

        Args:
            pool: the pool that the set was made from.
            progress: called with the number of cases that are done.

        Raises:
            DatasetError: when the model is not trained yet.
        """
        trained = self.check_trained()
        if self.model_hash != trained:
            shutil.rmtree(self.folder, ignore_errors=True)
        write_json(self._model_path, {"sha256": trained, "model": self.model.name})
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = {*self.missing(self.prepared.cases())}
        if not missing:
            return
        segment = _segmenter(self)
        for done, case in enumerate((case for case in pool.cases if case.case_id in missing), 1):
            segment(pool, case)
            progress(done)


def _segmenter(stage: PreviousStage) -> Callable[[PoolDataset, PoolCase], None]:
    """What nnU-Net does for real cases at the end of its validation."""
    import torch
    from nnunetv2.inference.export_prediction import resample_and_save
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    from nnunet_integration.nnunet_segmenter import load_predictor

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predictor = load_predictor(stage.model, stage.fold, device, use_mirroring=True)
    plans, configuration, description = predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    folder = str(stage.prepared.data_folder)
    kind = infer_dataset_class(folder)

    def segment(pool: PoolDataset, case: PoolCase) -> None:
        images = [str(path) for path in pool.image_paths(case)]
        preprocessor = configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case(images, None, plans, configuration, description)
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
        shape = _shape(kind(folder, [case.case_id]), case.case_id)
        part = stage.folder / f".{case.case_id}.{uuid.uuid4().hex[:8]}"
        resample_and_save(logits, shape, str(part), plans, configuration, properties, description, 1, kind)
        os.replace(f"{part}{ENDING}", stage.folder / f"{case.case_id}{ENDING}")

    return segment


def _shape(data: Any, case_id: str) -> tuple[int, ...]:
    return tuple(data.load_case(case_id)[0].shape[1:])
