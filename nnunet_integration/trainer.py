"""``nnUNetTrainerLLDMAug``: nnU-Net's trainer with synthetic cases in its training batches, and nowhere else."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lldm_aug import __version__
from lldm_aug.blending.leakage import check_leakage
from lldm_aug.errors import DatasetError, IncompatibleResume
from nnunet_integration.dataset import Blend, BlendedDataset, is_synthetic
from nnunet_integration.loader import blended_loader
from nnunet_integration.networks import has_one_output
from nnunet_integration.prepared import PreparedSet, find_prepared
from nnunet_integration.record import EpochCounts, TrainingRecord, read_record, write_record
from nnunet_integration.settings import from_environment, from_plans
from nnunet_integration.target import Target

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
        blend_ratio: share of synthetic cases.
        blend_seed: seed of the choice of cases.
    """

    blend_ratio: float = 0.5
    blend_seed: int = 0

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
        if has_one_output(self.configuration_manager.network_arch_class_name):
            self.enable_deep_supervision = False
        self._record: TrainingRecord | None = None
        self._drawn: list[str] = []

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """nnU-Net's two data sets, the training one blended.

        Raises:
            LldmAugError: when no fitting, whole, leak-free set is there, or the training was begun with another blend.
        """
        real, validation = super().get_tr_and_val_datasets()
        if self.blend_settings.ratio == 0:
            self._begin_record(0.0, None, ())
            return real, validation
        target = self._target()
        prepared = find_prepared(target, self.fold, self.blend_settings.set_name)
        info = prepared.info()
        given = (self.blend_settings.ratio, info.ratio, self.blend_ratio)
        ratio = next(value for value in given if value is not None)
        prepared.check_fits(target)
        leaks = self._check_leakage(target, prepared, list(validation.identifiers))
        synthetic = self._synthetic(prepared)
        self._begin_record(ratio, prepared, leaks)
        blend = Blend(ratio, self._seed(), self.local_rank, self.current_epoch)
        self.print_to_log_file(
            f"Blending prepared set {info.name!r} ({len(synthetic.identifiers)} synthetic cases) with "
            f"{len(real.identifiers)} real ones at ratio {ratio:g}, seed {blend.seed}; validation is real only"
        )
        return (BlendedDataset(real, synthetic, blend) if ratio else real), validation

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's own loaders; the one over a blended data set chooses its cases."""
        original = super().get_dataloaders
        with blended_loader(original) as made:
            loaders: tuple[Any, Any] = original()
        made.check(1 if self._record is not None and self._record.ratio else 0)
        return loaders

    def on_train_start(self) -> None:
        """Writes ``lldm_aug.json`` once everything has been checked."""
        super().on_train_start()
        self._write_record()

    def on_train_epoch_start(self) -> None:
        """Begins to count."""
        super().on_train_epoch_start()
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
            epoch=self.current_epoch, cases=len(drawn), synthetic=len(synthetic), distinct=len(set(synthetic))
        )
        self.print_to_log_file(f"synthetic {counts.synthetic} of {counts.cases} ({counts.distinct} different)")
        if self._record is not None:
            self._record = self._record.with_epoch(counts)
        self._write_record()

    def _target(self) -> Target:
        folder = Path(self.preprocessed_dataset_folder_base)
        return Target(folder, self.dataset_json, self.plans_manager, self.configuration_name)

    def _seed(self) -> int:
        return self.blend_seed if self.blend_settings.seed is None else self.blend_settings.seed

    def _check_leakage(self, target: Target, prepared: PreparedSet, validation: list[str]) -> tuple[str, ...]:
        """Compares with the validation cases that nnU-Net really uses, which need not be those of the split file."""
        if self.fold == "all":
            self.print_to_log_file("Fold 'all' validates on training cases: its validation Dice is no estimate")
            return ()
        leaks = check_leakage(
            prepared.info().generator,
            [case.mask for case in prepared.cases().values()],
            dataset=target.name,
            validation=target.label_hashes(validation),
            allow=bool(self.blend_settings.allow_leakage),
        )
        if leaks:
            self.print_to_log_file(f"LEAKAGE ALLOWED: {'; '.join(map(str, leaks))}; validation scores mean nothing")
        return tuple(map(str, leaks))

    def _synthetic(self, prepared: PreparedSet) -> Any:
        folder, cases = str(prepared.data_folder), list(prepared.check_whole())
        previous = None
        if self.is_cascaded:
            previous = prepared.root / "predicted_next_stage" / self.configuration_name
            lacking = [name for name in cases if not (previous / f"{name}.b2nd").is_file()]
            if lacking:
                raise DatasetError(
                    f"{len(lacking)} synthetic cases lack segmentations of the previous stage, such as {lacking[0]}",
                    where=previous,
                    fix="put them there, or blend into a configuration that is no cascade",
                )
        return infer_dataset_class(folder)(folder, cases, None if previous is None else str(previous))

    def _begin_record(self, ratio: float, prepared: PreparedSet | None, leaks: tuple[str, ...]) -> None:
        record = TrainingRecord(
            lldm_aug_version=__version__,
            nnunetv2_version=version("nnunetv2"),
            ratio=ratio,
            seed=self._seed(),
            set_name=None if prepared is None else prepared.info().name,
            set_hash=None if prepared is None else prepared.hash(),
            settings=self.blend_settings.given(),
            leaks=leaks,
        )
        before = read_record(Path(self.output_folder))
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


def blended(trainer: type[nnUNetTrainer], module: str) -> type[nnUNetTrainer]:
    """A trainer class with the blend, named like the given one with ``LLDMAug`` behind.

    Args:
        trainer: any trainer whose loaders are nnU-Net's own.
        module: ``__name__`` of the module that binds the class to that name, so that it pickles.

    Examples:
        In a module on nnU-Net's search path::

            nnUNetTrainerDA5LLDMAug = blended(nnUNetTrainerDA5, __name__)
    """
    name = f"{trainer.__name__}LLDMAug"
    return type(name, (LLDMAugMixin, trainer), {"__module__": module, "__doc__": f"{trainer.__name__} on a blend."})
