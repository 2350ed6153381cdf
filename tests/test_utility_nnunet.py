"""A study by nnU-Net's own commands, and training on a share of the cases."""

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from nnunet_project import CONFIGURATION, NAME, Project, make

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction
from lldm_aug.errors import IncompatibleResume, TrainingError
from lldm_aug.evaluation.utility.cell import begin, parse_arms
from lldm_aug.evaluation.utility.data import StudyData
from lldm_aug.evaluation.utility.study_plan import StudyPlan, StudySettings, plan_study
from nnunet_integration.utility import NnunetEngine


@pytest.mark.parametrize("label_fraction", ["0.5", ""])
def test_nnunet_trains_on_the_same_share(
    project: Project, monkeypatch: pytest.MonkeyPatch, label_fraction: str
) -> None:
    monkeypatch.setenv("LLDM_AUG_LABEL_FRACTION", label_fraction)
    monkeypatch.setenv("LLDM_AUG_LABEL_FRACTION_SEED", "1")
    training, validation = make().do_split()
    split = project.splits[0]
    half = LabelFraction(fraction=0.5, seed=1).labelled(tuple(split["train"]))
    assert training == (list(half) if label_fraction else split["train"])
    assert validation == split["val"]


def arguments(project: Project, out: Path, *more: str) -> list[str]:
    raw = project.root / "nnUNet_raw" / NAME
    command = ["evaluate", "utility", "--engine", "nnunet", "--data", str(raw), "--out", str(out), "--folds", "0"]
    return [*command, "--seeds", "0", "--steps", "2", "--pool", str(project.pool), *more]


def test_what_nnunet_cannot_do_is_refused(project: Project, tmp_path: Path) -> None:
    for more, message in (
        (("--arms", "autoencoded", "--networks", "unet"), "--engine monai"),
        (("--networks", "dynunet"), "no network 'dynunet'"),
    ):
        result = CliRunner().invoke(main, arguments(project, tmp_path, *more))
        assert result.exit_code == 2
        assert message in result.output


@pytest.mark.parametrize(
    ("engine", "given"),
    [
        ("nnunet", ("--width", "32")),
        ("nnunet", ("--patch", "96", "96", "64")),
        ("nnunet", ("--spacing", "1", "1", "1")),
        ("nnunet", ("--precision", "bf16")),
        ("monai", ("--configuration", "3d_fullres")),
    ],
)
def test_options_of_the_other_engine_are_refused(
    project: Project, tmp_path: Path, engine: str, given: tuple[str, ...]
) -> None:
    result = CliRunner().invoke(main, arguments(project, tmp_path, *given, "--engine", engine, "--dry-run"))
    assert result.exit_code == 2
    assert f"{given[0]}: of no effect with --engine {engine}" in result.output


@pytest.fixture
def plan(project: Project, tmp_path: Path) -> Iterator[StudyPlan]:
    """A study of two networks; the plans are given back as they were."""
    dataset = RawDataset(project.root / "nnUNet_raw" / NAME)
    settings = StudySettings(engine="nnunet", steps=2, spacing_mm=(2, 2, 3), tolerance_mm=2)
    path = project.preprocessed / "nnUNetPlans.json"
    before = path.read_text()
    arms, networks = parse_arms((), ()), ("unet", "resunet")
    NnunetEngine().check(dataset, settings, networks, arms)
    folders = {"out": tmp_path, "dataset": dataset, "held_out": None, "pool": None, "generator": None}
    yield plan_study(
        settings=settings, networks=networks, arms=arms, label_fractions=(1.0,), folds=(0,), seeds=(0,), **folders
    )
    path.write_text(before)


def test_cells_of_other_plans_are_not_mixed(plan: StudyPlan, project: Project) -> None:
    unet, resunet = plan.cells()
    path = project.preprocessed / "nnUNetPlans.json"
    begin(unet, plan.out, StudyData(plan, "cpu").request(unet))
    NnunetEngine().check(
        plan.dataset, plan.settings, ("attunet",), plan.arms
    )  # another network changes nothing of this one
    begin(unet, plan.out, StudyData(plan, "cpu").request(unet))
    plans = json.loads(path.read_text())
    plans["configurations"][CONFIGURATION]["batch_size"] += 1
    path.write_text(json.dumps(plans))
    with pytest.raises(IncompatibleResume, match="other settings: plans"):
        begin(unet, plan.out, StudyData(plan, "cpu").request(unet))
    assert StudyData(plan, "cpu").request(unet)["plans"] != StudyData(plan, "cpu").request(resunet)["plans"]


def test_the_callers_blend_is_not_inherited(plan: StudyPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SET", "RATIO", "ALLOW_LEAKAGE", "PREVIOUS_TRAINER"):
        monkeypatch.setenv(f"LLDM_AUG_{name}", "1")
    seen: list[dict[str, str]] = []

    def run(command: list[str], *, env: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
        seen.append(env)
        return subprocess.CompletedProcess(command, returncode=1)

    monkeypatch.setattr("nnunet_integration.utility.subprocess.run", run)
    cell = next(plan.cells())
    cell.folder(plan.out).mkdir(parents=True)
    with pytest.raises(TrainingError):
        NnunetEngine().run(plan, cell, "cpu")
    ours = {name: value for name, value in seen[0].items() if name.startswith("LLDM_AUG_")}
    assert ours.pop("LLDM_AUG_RATIO") == "0.0"
    assert {*ours} == {
        f"LLDM_AUG_{n}"
        for n in ("SEED", "LABEL_FRACTION", "LABEL_FRACTION_SEED", "EPOCHS", "ITERATIONS", "VAL_ITERATIONS")
    }
    assert seen[0]["nnUNet_raw"]


@pytest.mark.slow
def test_cells_are_nnunets_own_trainings(project: Project, tmp_path: Path) -> None:
    more = ("--networks", "unet", "--arms", "syn", "--ratios", "0.5", "--label-fractions", "0.5")
    result = CliRunner().invoke(main, arguments(project, tmp_path, *more))
    assert result.exit_code == 0, result.output
    with (tmp_path / "cells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["case"] for row in rows} == {*project.splits[0]["val"]}
    assert {row["arm"] for row in rows} == {"real", "syn@0.5"}
    assert all(row["dice"] for row in rows)
    records = {path.parents[4].parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("lldm_aug.json")}
    assert {name: record["label_fraction"] for name, record in records.items()} == {"real": 0.5, "syn@0.5": 0.5}
    synthetic = sum(epoch["synthetic"] for epoch in records["syn@0.5"]["epochs"])
    assert synthetic == 2  # of two batches of two
    with (tmp_path / "curves.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2"] * 2
