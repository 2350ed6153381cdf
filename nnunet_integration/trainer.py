"""``nnUNetTrainerLLDMAug``: nnU-Net's trainer with synthetic cases in its training batches, and nowhere else."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.schedule import Schedule
from lldm_aug.data.splits import LabelFraction
from lldm_aug.errors import DatasetError, IncompatibleResume
from lldm_aug.models.segmentation_networks import has_one_output
from lldm_aug.version import __version__
from nnunet_integration.blend_settings import from_environment, from_plans
from nnunet_integration.cascade import PreviousStage
from nnunet_integration.loader import BlendedDataset, CaseBlend, blended_loader, is_synthetic
from nnunet_integration.offer import Offers, SeenCases
from nnunet_integration.prepared import PreparedSet, find_prepared
from nnunet_integration.target import Target, guard
from nnunet_integration.training_record import EpochCounts, TrainingRecord, read_training, stamp_scores, write_record

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer as _Trainer
else:
    _Trainer = object

__all__ = ["nnUNetTrainerLLDMAug"]

_LENGTHS = ("num_epochs", "num_iterations_per_epoch", "num_val_iterations_per_epoch")


class LLDMAugMixin(_Trainer):
    """Blends a prepared set into the training of any trainer that it stands before in a class's bases.

    Validation stays purely real, and a set whose generator or masks have seen a validation case is refused.

    Settings come from, in this order: the environment (`settings.VARIABLES`), the plans' configuration
    (``"lldm_aug": {"ratio": 0.5}``), the prepared set, these class attributes. What none decides is nnU-Net's own.

    Attributes:
        blend_ratio: share of synthetic cases, or a schedule (see `Schedule.parse`).
        blend_seed: seed of the choice of cases.
    """

    blend_ratio: float | str = 0.5
    blend_seed: int = 0
    folder_with_segs_from_previous_stage: Any  # nnU-Net's: a path, or None where there is no cascade

    # nnU-Net's __init__ looks up its own local variables by the names of these arguments: they must stay as they are.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        in_plans = from_plans(self.configuration_manager.configuration, configuration)
        self.blend_settings = from_environment().over(in_plans)
        for name in _LENGTHS:
            if getattr(self.blend_settings, name) is not None:
                setattr(self, name, getattr(self.blend_settings, name))
        if self.is_cascaded and self.blend_settings.previous_trainer is not None:
            own, other = f"/{type(self).__name__}__", f"/{self.blend_settings.previous_trainer}__"
            self.folder_with_segs_from_previous_stage = self.folder_with_segs_from_previous_stage.replace(own, other)
        self._blend: CaseBlend | None = None
        if has_one_output(self.configuration_manager.network_arch_class_name):
            self.enable_deep_supervision = False
        self._record: TrainingRecord | None = None
        self._offers: Offers | None = None
        self._seen: SeenCases | None = None
        self._drawn: list[str] = []

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, of whose training cases only the label fraction is used if one is set."""
        training, validation = super().do_split()
        label_fraction, seed = self.blend_settings.label_fraction, self.blend_settings.label_fraction_seed or 0
        if label_fraction is None:
            return training, validation
        labelled = LabelFraction(fraction=label_fraction, seed=seed).labelled(
            tuple(sorted(training)), self._target().patients()
        )
        self.print_to_log_file(f"Share {label_fraction:g} of the labels, seed {seed}: {len(labelled)} training cases")
        return list(labelled), validation

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """nnU-Net's two data sets, the training one blended.

        Raises:
            LldmAugError: when no fitting, whole, leak-free set is there, or the training was begun with another blend.
        """
        real, validation = super().get_tr_and_val_datasets()
        if self.is_cascaded:
            self._check_previous_stage(real, validation)
        self._blend = self._offers = None
        if self.blend_settings.ratio == 0:
            self._begin_record(0.0)
            return real, validation
        target = self._target()
        prepared = find_prepared(target, self.fold, self.blend_settings.set_name)
        info = prepared.info()
        given = (self.blend_settings.ratio, info.ratio, self.blend_ratio)
        schedule = Schedule.parse(next(value for value in given if value is not None), self.num_epochs)
        prepared.check_fits(target)
        leaks = self._check_leakage(target, prepared, real.identifiers, validation.identifiers)
        previous = PreviousStage.of(target, prepared, self.fold, self.blend_settings.previous_trainer)
        synthetic = self._synthetic(prepared, previous)
        if info.renewing:
            check = partial(self._check_leakage, target, prepared, real.identifiers, validation.identifiers)
            self._offers = Offers(Path(self.output_folder), prepared, check)
            self._offer()
        self._begin_record(schedule.value, prepared, leaks, None if previous is None else previous.model_hash)
        start = self.current_epoch
        self._blend = CaseBlend(schedule, self._seed(), self.local_rank, start, SharedEpoch(start))
        self.print_to_log_file(
            f"Blending prepared set {info.name!r} ({len(synthetic.identifiers)} synthetic cases) with "
            f"{len(real.identifiers)} real ones at ratio {schedule.value}, seed {self._seed()}; validation is real only"
        )
        offers = None if self._offers is None else self._offers.folder
        return BlendedDataset(real, synthetic, self._blend, offers), validation

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's own loaders; the one over a blended data set chooses its cases."""
        with blended_loader(type(self)) as made:
            loaders: tuple[Any, Any] = super().get_dataloaders()
        made.check(0 if self._blend is None else 1)
        return loaders

    def on_train_start(self) -> None:
        """Writes ``lldm_aug.json`` once everything has been checked."""
        super().on_train_start()
        self._seen = SeenCases(Path(self.output_folder), self.current_epoch) if self.local_rank == 0 else None
        self._write_record()

    def on_train_epoch_start(self) -> None:
        """Tells the workers of the epoch, and begins to count."""
        super().on_train_epoch_start()
        if self._blend is not None:
            self._offer()
            self._blend.epoch.set(self.current_epoch)
        self._drawn = []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step; counts what the batch holds."""
        self._drawn.extend(map(str, batch["keys"]))
        result: dict[str, Any] = super().train_step(batch)
        return result

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """Adds the epoch's counts to ``lldm_aug.json``."""
        super().on_train_epoch_end(train_outputs)
        drawn = self._drawn
        if self.is_ddp:
            ranks: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(ranks, drawn)
            drawn = [key for keys in ranks for key in keys]
        synthetic = [key for key in drawn if is_synthetic(key)]
        counts = EpochCounts(
            epoch=self.current_epoch,
            ratio=0.0 if self._blend is None else self._blend.ratio,
            cases=len(drawn),
            synthetic=len(synthetic),
            distinct=len(set(synthetic)),
            seen=0 if self._seen is None else self._seen.add(self.current_epoch, synthetic),
        )
        self.print_to_log_file(
            f"synthetic {counts.synthetic} of {counts.cases} ({counts.distinct} different, {counts.seen} so far)"
        )
        if self._record is not None:
            self._record = self._record.with_epoch(counts)
        self._write_record()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's validation; stamps its scores where a leak was allowed."""
        super().perform_actual_validation(save_probabilities)
        record = read_training(Path(self.output_folder))
        if record is not None and record.leaks and self.local_rank == 0:
            self.print_to_log_file(f"LEAKAGE ALLOWED: {'; '.join(record.leaks)}; these scores mean nothing")
            stamp_scores(Path(self.output_folder), record.leaks)

    def _offer(self) -> None:
        """Offers the workers what a set that renews itself has now; every rank waits for the first one's offer."""
        if self._offers is not None and self.local_rank == 0:
            self._offers.make(self.current_epoch)
        if self._offers is not None and self.is_ddp:
            dist.barrier()

    def _target(self) -> Target:
        folder = Path(self.preprocessed_dataset_folder_base)
        return Target(folder, self.dataset_json, self.plans_manager, self.configuration_name)

    def _seed(self) -> int:
        return self.blend_seed if self.blend_settings.seed is None else self.blend_settings.seed

    def _check_leakage(
        self, target: Target, prepared: PreparedSet, training: list[str], validation: list[str]
    ) -> tuple[str, ...]:
        """Compares with the validation cases that nnU-Net really uses, which need not be those of the split file."""
        if self.fold == "all":
            self.print_to_log_file("Fold 'all' validates on training cases: its validation Dice is no estimate")
            return ()
        origins = [case.mask for case in prepared.cases().values()]
        allow = bool(self.blend_settings.allow_leakage)
        generator = prepared.info().generator
        leaks = guard(target, generator, origins, training=training, validation=validation, allow=allow)
        if leaks:
            self.print_to_log_file(f"LEAKAGE ALLOWED: {'; '.join(map(str, leaks))}; validation scores mean nothing")
        return tuple(map(str, leaks))

    def _synthetic(self, prepared: PreparedSet, previous: PreviousStage | None) -> Any:
        folder, cases = str(prepared.data_folder), list(prepared.check_whole())
        if previous is not None:
            previous.check_complete(cases)
        return infer_dataset_class(folder)(folder, cases, None if previous is None else str(previous.folder))

    def _check_previous_stage(self, *sets: Any) -> None:
        """Refuses real cases without a segmentation of the previous stage, before a worker stumbles over them."""
        folder = Path(self.folder_with_segs_from_previous_stage)
        missing = sorted({case for data in sets for case in data.identifiers if not any(folder.glob(f"{case}.*"))})
        if missing:
            stage, trainer = self.configuration_manager.previous_stage_name, folder.parents[1].name.split("__")[0]
            raise DatasetError(
                f"{len(missing)} cases lack segmentations of the previous stage, such as {missing[0]}",
                where=folder,
                fix=f"train all folds of {stage} with '-tr {trainer}': validation makes them. If another trainer "
                "did, set LLDM_AUG_PREVIOUS_TRAINER to its name",
            )

    def _begin_record(
        self,
        ratio: float | str,
        prepared: PreparedSet | None = None,
        leaks: tuple[str, ...] = (),
        previous_stage: str | None = None,
    ) -> None:
        record = TrainingRecord(
            lldm_aug_version=__version__,
            nnunetv2_version=version("nnunetv2"),
            ratio=ratio,
            seed=self._seed(),
            set_name=None if prepared is None else prepared.info().name,
            set_hash=None if prepared is None else prepared.hash(),
            previous_stage=previous_stage,
            label_fraction=self.blend_settings.label_fraction,
            settings=self.blend_settings.given(),
            leaks=leaks,
        )
        before = read_training(Path(self.output_folder))
        if self.current_epoch > 0:
            if before is None:
                raise IncompatibleResume(
                    "no record of the blend that the training was begun with", where=self.output_folder
                )
            record = before.continued_by(record, self.current_epoch)
        elif before is not None and before.changed(record):
            changed = ", ".join(before.changed(record))
            self.print_to_log_file(f"WARNING: replaces a training with another {changed} in {self.output_folder}")
        self._record = record

    def _write_record(self) -> None:
        if self.local_rank == 0 and self._record is not None:
            write_record(Path(self.output_folder), self._record)


class nnUNetTrainerLLDMAug(LLDMAugMixin, nnUNetTrainer):
    """nnU-Net's default trainer on a blend of real and synthetic cases."""
