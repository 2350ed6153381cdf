"""The whole chain in minutes, through the commands that users type: phantom, pool, nnU-Net, prediction, picture."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LldmAugError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import read_label
from lldm_aug.io.records import read_json
from lldm_aug.metrics.dice import dice
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.pool.pool_mosaic import pool_rows

DATASET = "Dataset700_HBPPhantom"
HELD_OUT = "Dataset701_HBPHeldOut"
CONFIGURATION = "3d_demo"
TRAINER = "nnUNetTrainerAdam1en3LLDMAug"
"""nnU-Net's trainer with Adam, blended: in so few iterations its own SGD finds the liver alone."""
RESULTS = f"{TRAINER}__nnUNetPlans__{CONFIGURATION}"
SHAPE, SPACING_MM = (64, 64, 48), (4.95, 4.05, 4.55)
"""Of the phantoms: coarser than the embedded generator's grid, so that more iterations fit into the same minutes."""
PATCH = [32, 48, 48]
"""Of the demo's network, in nnU-Net's order (Z, Y, X)."""
THINNER = 4
"""The demo's network has a fourth of the planned features: minutes instead of hours on a CPU."""
NUM_TRAIN, NUM_SYNTHETIC, NUM_TEST = 10, 8, 2
EPOCHS, ITERATIONS = 14, 40


class DemoFailed(LldmAugError):
    """A step of the demo ended with an error."""


@dataclass(frozen=True)
class Step:
    """One command.

    Args:
        title: what it does.
        command: its words.
        done: exists once it has succeeded.
    """

    title: str
    command: tuple[str, ...]
    done: Path


@dataclass(frozen=True)
class Demo:
    """The demo in a folder of its own.

    Args:
        out: the folder.
        device: ``cpu`` or ``cuda``, for nnU-Net.
    """

    out: Path
    device: str

    @property
    def raw(self) -> Path:
        """nnU-Net's raw data."""
        return self.out / "nnUNet_raw"

    @property
    def preprocessed(self) -> Path:
        """nnU-Net's preprocessed data set."""
        return self.out / "nnUNet_preprocessed" / DATASET

    @property
    def fold(self) -> Path:
        """Where the trained network is."""
        return self.out / "nnUNet_results" / DATASET / RESULTS / "fold_0"

    @property
    def pool(self) -> Path:
        """The synthetic cases."""
        return self.out / "pools" / "demo"

    @property
    def predictions(self) -> Path:
        """The predicted masks."""
        return self.out / "predictions"

    def environment(self, program: str) -> dict[str, str]:
        """nnU-Net's folders, a short training, and as few processes as two cores like."""
        folders = {name: str(self.out / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        short = {"LLDM_AUG_EPOCHS": EPOCHS, "LLDM_AUG_ITERATIONS": ITERATIONS, "LLDM_AUG_VAL_ITERATIONS": 2}
        workers = "0" if program == "nnUNetv2_train" else "1"  # nnU-Net's planner needs one
        processes = {"nnUNet_n_proc_DA": workers, "nnUNet_def_n_proc": "1", "OMP_WAIT_POLICY": "passive"}
        settings = {"nnUNet_compile": "f", **processes, **{k: str(v) for k, v in short.items()}}
        return {**os.environ, **folders, **settings}

    def steps(self) -> list[Step]:
        """The commands, in order."""
        held_out = self.raw / HELD_OUT
        size = ("--shape", *map(str, SHAPE), "--spacing", *map(str, SPACING_MM))
        phantom, generate = ("lldm-aug", "phantom", *size), ("lldm-aug", "generate")
        chosen = ("-c", CONFIGURATION, "-f", "0")
        network = (*chosen, "-tr", TRAINER, "-device", self.device)
        return [
            Step(
                "real cases (digital phantoms)",
                (*phantom, "--n", str(NUM_TRAIN), "--out", str(self.raw / DATASET)),
                self.raw / DATASET / "labelsTr" / f"phantom_{NUM_TRAIN - 1:04d}.nii.gz",
            ),
            Step(
                "cases to predict",
                (*phantom, "--n", str(NUM_TEST), "--seed", "1", "--out", str(held_out)),
                held_out / "labelsTr" / f"phantom_{NUM_TEST - 1:04d}.nii.gz",
            ),
            Step(
                "synthetic pairs: new tumours, painted by the embedded generator into real training cases",
                (
                    *generate,
                    "--n",
                    str(NUM_SYNTHETIC),
                    "--inpaint",
                    *("--data", "700", "--fold", "0"),
                    "--out",
                    str(self.pool),
                ),
                self.pool / "mosaic.png",
            ),
            Step(
                "nnU-Net plans and preprocesses the real cases",
                ("nnUNetv2_plan_and_preprocess", "-d", "700", "-c", "3d_fullres", "-np", "1", "-npfp", "1"),
                self.preprocessed / "nnUNetPlans_3d_fullres" / f"phantom_{NUM_TRAIN - 1:04d}.pkl",
            ),
            Step(
                "the pool is preprocessed with the same plans",
                ("lldm-aug", "nnunet", "prepare", "-d", "700", "--pool", str(self.pool), *chosen),
                self.preprocessed / "lldm_aug" / self.pool.name / "fold_0" / "nnUNetPlans_3d_fullres.report.json",
            ),
            Step(
                "nnU-Net trains on a blend of both",
                ("nnUNetv2_train", "700", CONFIGURATION, "0", *network[-4:]),
                self.fold / "validation" / "summary.json",
            ),
            Step(
                "nnU-Net predicts held-out cases",
                (
                    *("nnUNetv2_predict", "-i", str(held_out / "imagesTr"), "-o", str(self.predictions), "-d", "700"),
                    *(*network, "-npp", "1", "-nps", "1", "--disable_tta"),
                ),
                self.predictions / f"phantom_{NUM_TEST - 1:04d}.nii.gz",
            ),
        ]

    def run(self) -> Iterator[tuple[Step, float]]:
        """Runs what is not done yet; yields each step with the seconds it took.

        Raises:
            DemoFailed: with the end of the log of the step that failed, or when nnU-Net is not installed.
        """
        if importlib.util.find_spec("nnunetv2") is None:
            raise DemoFailed("nnU-Net is not installed", fix="pip install '.[nnunet]' in a clone")
        for number, step in enumerate(self.steps(), 1):
            began = time.perf_counter()
            if not step.done.exists():
                self._run(step, self.out / "logs" / f"{number}_{Path(step.command[0]).name}.log")
            if step.command[0] == "nnUNetv2_plan_and_preprocess":
                _add_thin_configuration(self.preprocessed / "nnUNetPlans.json")
            yield step, time.perf_counter() - began

    def _run(self, step: Step, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            stream.write(shlex.join(step.command) + "\n\n")
            stream.flush()
            program, *words = step.command
            environment = self.environment(program)
            command = (_script(program), *words)
            code = subprocess.run(command, env=environment, stdout=stream, stderr=stream, check=False).returncode
        if code or not step.done.exists():
            tail = " | ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])
            raise DemoFailed(f"{step.title}: exit code {code}: {tail}", where=log, fix="read the log, then run again")

    def scores(self) -> dict[str, dict[str, float]]:
        """Dice of each structure by predicted case."""
        held_out = RawDataset(self.raw / HELD_OUT)
        return {
            case_id: dice(
                read_label(self.predictions / f"{case_id}.nii.gz").data,
                held_out.load_label(case_id).data,
                held_out.schema,
            )
            for case_id in held_out.case_ids
        }

    def synthetic_share(self) -> tuple[int, int]:
        """Synthetic cases that training really drew, and all cases that it drew."""
        epochs = read_json(self.fold / "lldm_aug.json")["epochs"]
        return sum(e["synthetic"] for e in epochs), sum(e["cases"] for e in epochs)

    def finish(self) -> Path:
        """Writes ``scores.json`` and the picture; returns the picture."""
        write_json(self.out / "scores.json", self.scores())
        held_out = RawDataset(self.raw / HELD_OUT)
        rows = pool_rows(self.pool, RawDataset(self.raw / DATASET))[:4]
        for case_id in held_out.case_ids[:1]:
            truth = _row(held_out, case_id, "held out, truth")
            predicted = read_label(self.predictions / f"{case_id}.nii.gz").data
            rows += [truth, MosaicRow(truth.image, predicted, truth.spacing_mm, "held out, predicted", truth.label)]
        path = self.out / "demo.png"
        write_mosaic(path, rows, title="Real, synthetic, and what nnU-Net made of both")
        return path


def _row(dataset: RawDataset, case_id: str, caption: str) -> MosaicRow:
    case = dataset.load(case_id)
    return MosaicRow(case.image[0], case.label, case.grid.spacing_mm, f"{caption}: {case_id}")


def _add_thin_configuration(path: Path) -> None:
    """Adds a configuration with a thin network, which shares the data of 3d_fullres."""
    plans = read_json(path)
    network = json.loads(json.dumps(plans["configurations"]["3d_fullres"]["architecture"]))
    features = network["arch_kwargs"]["features_per_stage"]
    network["arch_kwargs"]["features_per_stage"] = [n // THINNER for n in features]
    # The Dice of a whole batch: many patches lack a structure, and the Dice of one that lacks it says nothing.
    changes = {"architecture": network, "patch_size": PATCH, "batch_dice": True}
    plans["configurations"][CONFIGURATION] = {"inherits_from": "3d_fullres", **changes}
    write_json(path, plans)


def _script(name: str) -> str:
    """A console script of this environment, whether or not its folder is on the PATH."""
    own = Path(sysconfig.get_path("scripts")) / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        raise DemoFailed(f"the command {name} is not installed", fix="pip install '.[nnunet]' in a clone")
    return found
