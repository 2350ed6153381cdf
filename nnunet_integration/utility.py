"""The cells of a study trained by nnU-Net's own commands, each in a results folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, TrainingError
from lldm_aug.evaluation.utility.cell import AUTOENCODED, REAL_AUG, Arm, Cell, CellScores, write_scores
from lldm_aug.evaluation.utility.study import score_found
from lldm_aug.io.atomic import append_json_line
from lldm_aug.io.hashing import sha256_json
from lldm_aug.io.nifti import read_label
from nnunet_integration.architectures import NETWORKS, add_networks
from nnunet_integration.blend_settings import VARIABLES
from nnunet_integration.prepare import plan_preparation, run_preparation
from nnunet_integration.target import Target

if TYPE_CHECKING:
    from lldm_aug.evaluation.utility.study_plan import StudyPlan, StudySettings
    from lldm_aug.volume import Volume

EPOCHS = 20
"""That the steps are dealt out to: nnU-Net lowers its learning rate once an epoch."""
TRAIN = "from nnunetv2.run.run_training import run_training_entry as main; main()"
PREDICT = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point as main; main()"
TRAINER = {REAL_AUG: "nnUNetTrainerDA5LLDMAug"}
"""Of an arm, if not the plain one."""


class NnunetEngine:
    """Trains the networks of a study with nnU-Net; see `lldm_aug.evaluation.utility.engine.Engine`."""

    def check(self, dataset: RawDataset, settings: StudySettings, networks: Sequence[str], arms: Sequence[Arm]) -> None:
        """Refuses what nnU-Net cannot do, and adds configurations of the networks to its plans.

        Raises:
            ConfigError: for an unknown network, or an arm that it has no cases for.
            DatasetError: when nnU-Net, or the preprocessed data set, is missing.
            IncompatibleResume: as `add_networks`.
        """
        if any(arm.kind == AUTOENCODED for arm in arms):
            raise ConfigError(f"arm {AUTOENCODED!r} is for --engine monai", where="--arms", fix="leave it out")
        if not networks:
            raise ConfigError("no networks", where="--networks", fix=f"use {', '.join(NETWORKS)}")
        add_networks(Target.find(dataset.name, settings.configuration, settings.plans), networks)

    def plans_hash(self, plan: StudyPlan, cell: Cell) -> str:
        """SHA-256 of what the plans say of a cell's network; configurations of other networks may come and go.

        Raises:
            DatasetError: as `Target.find`.
        """
        target = _target(plan, cell)
        common = {key: value for key, value in target.plans.plans.items() if key != "configurations"}
        return sha256_json({**common, "configuration": target.configuration.configuration})

    def run(self, plan: StudyPlan, cell: Cell, device: str) -> None:
        """Trains and scores a cell; a training that was interrupted goes on.

        nnU-Net draws its first weights and crops anew each time: the seed decides the choice of synthetic cases alone.

        Raises:
            TrainingError: when one of nnU-Net's commands fails.
            LldmAugError: as `plan_preparation`.
        """
        start, folder = time.perf_counter(), cell.folder(plan.out)
        environment = {**_environment(plan, cell, folder), **_prepared(plan, cell)}
        settings = plan.settings
        chosen = ["-tr", TRAINER.get(cell.arm.kind, "nnUNetTrainerLLDMAug"), "-p", settings.plans, "-device", device]
        target = _target(plan, cell)
        configuration = target.configuration_name
        results = folder / "nnunet" / target.name / f"{chosen[1]}__{settings.plans}__{configuration}"
        fold_folder = results / f"fold_{cell.fold}"
        resume = ["--c"] if any(fold_folder.glob("checkpoint_*.pth")) else []
        _run(TRAIN, [target.name, configuration, str(cell.fold), *chosen, *resume], environment, folder)
        found = fold_folder / "validation"
        if plan.held_out is not None:
            found, images = folder / "held_out", plan.held_out.folder / "imagesTr"
            model = ["-d", target.name, "-c", configuration, "-f", str(cell.fold), *chosen]
            _run(PREDICT, ["-i", str(images), "-o", str(found), *model], environment, folder)
        _write_curve(fold_folder, folder / "stats.jsonl", _iterations(settings.steps))

        def read(case_id: str, truth: Volume) -> np.ndarray:
            return read_label(found / f"{case_id}{plan.dataset.file_ending}").data

        cases = score_found(plan, cell, read)
        write_scores(cell, plan.out, CellScores(seconds=time.perf_counter() - start, cases=cases))


def _target(plan: StudyPlan, cell: Cell) -> Target:
    settings = plan.settings
    return Target.find(plan.dataset.name, f"{settings.configuration}_{cell.network}", settings.plans)


def _environment(plan: StudyPlan, cell: Cell, folder: Path) -> dict[str, str]:
    discover = str(Path(__file__).parent / "discover")  # also where the package is not installed
    steps = plan.settings.steps
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}  # not the caller's blend
    return {
        **inherited,
        "nnUNet_results": str(folder / "nnunet"),
        "nnUNet_extTrainer": os.pathsep.join(filter(None, (os.environ.get("nnUNet_extTrainer"), discover))),
        "LLDM_AUG_RATIO": str(cell.arm.ratio),
        "LLDM_AUG_SEED": str(cell.seed),
        "LLDM_AUG_LABEL_FRACTION": str(cell.label_fraction),
        "LLDM_AUG_LABEL_FRACTION_SEED": str(plan.settings.label_fraction_seed),
        "LLDM_AUG_EPOCHS": str(min(EPOCHS, steps)),
        "LLDM_AUG_ITERATIONS": str(_iterations(steps)),
        "LLDM_AUG_VAL_ITERATIONS": "1",
    }


def _iterations(steps: int) -> int:
    """Steps of an epoch; all epochs together have as many as were asked for, or a few more."""
    return -(-steps // min(EPOCHS, steps))


def _prepared(plan: StudyPlan, cell: Cell) -> dict[str, str]:
    """Prepares the pool of a cell's fold and share, and names it to the trainer."""
    if not cell.arm.synthetic:
        return {}
    pool = plan.sources[cell.fold, cell.label_fraction].pool
    assert pool is not None
    name = f"{pool.resolve().name}_share_{cell.label_fraction:g}"
    settings = plan.settings
    preparation = plan_preparation(
        plan.dataset.name, pool, settings.configuration, plans=settings.plans, fold=cell.fold, name=name
    )
    if preparation.missing:
        run_preparation(preparation)
    return {"LLDM_AUG_SET": name}


def _run(entry: str, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
    """Runs one of nnU-Net's commands; what it says goes into ``nnunet.log``."""
    log = folder / "nnunet.log"
    with log.open("a", encoding="utf-8") as stream:
        command = [sys.executable, "-c", entry, *arguments]
        done = subprocess.run(
            command,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
            close_fds=False,  # it inherits the lock of the cell's folder, and keeps others out if its caller is killed
        )
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise TrainingError(f"nnU-Net failed: {' '.join(last)}", where=log, fix="read there what it said")


def _write_curve(fold_folder: Path, path: Path, iterations: int) -> None:
    """The mean loss of each epoch, from nnU-Net's log, as the common training loop writes it."""
    text = "".join(log.read_text(encoding="utf-8") for log in sorted(fold_folder.glob("training_log_*.txt")))
    path.unlink(missing_ok=True)
    epochs = {int(epoch): float(loss) for epoch, loss in re.findall(r"Epoch (\d+).*?train_loss (\S+)", text, re.DOTALL)}
    for epoch, loss in sorted(epochs.items()):
        append_json_line(path, {"step": (epoch + 1) * iterations, "loss": loss})
