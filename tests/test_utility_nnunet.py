"""A study by nnU-Net's own commands, and training on a share of the cases."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from nnunet_project import NAME, Project, make

from lldm_aug.cli import main
from lldm_aug.data.share import LabelledShare


@pytest.mark.parametrize("share", ["0.5", ""])
def test_nnunet_trains_on_the_same_share(project: Project, monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.setenv("LLDM_AUG_SHARE", share)
    monkeypatch.setenv("LLDM_AUG_SHARE_SEED", "1")
    training, validation = make().do_split()
    split = project.splits[0]
    half = LabelledShare(share=0.5, seed=1).labelled(tuple(split["train"]))
    assert training == (list(half) if share else split["train"])
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


@pytest.mark.slow
def test_cells_are_nnunets_own_trainings(project: Project, tmp_path: Path) -> None:
    more = ("--networks", "unet", "--arms", "syn", "--ratios", "0.5", "--shares", "0.5")
    result = CliRunner().invoke(main, arguments(project, tmp_path, *more))
    assert result.exit_code == 0, result.output
    with (tmp_path / "cells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["case"] for row in rows} == {*project.splits[0]["val"]}
    assert {row["arm"] for row in rows} == {"real", "syn@0.5"}
    assert all(row["dice"] for row in rows)
    records = {path.parents[4].parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("lldm_aug.json")}
    assert {name: record["share"] for name, record in records.items()} == {"real": 0.5, "syn@0.5": 0.5}
    synthetic = sum(epoch["synthetic"] for epoch in records["syn@0.5"]["epochs"])
    assert synthetic == 2  # of two batches of two
    with (tmp_path / "curves.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2"] * 2
