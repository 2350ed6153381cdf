"""A whole study, tiny: its cells, what it refuses, and that it goes on where it stopped."""

import csv
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pools import blob_case, provenance, write_dataset, write_pool

from lldm_aug.cli import main
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction, load_split
from lldm_aug.errors import ConfigError
from lldm_aug.evaluation.utility.cell import parse_arms
from lldm_aug.evaluation.utility.data import AIR, StudyGrid, crop_to, pad_to
from lldm_aug.evaluation.utility.study import predict
from lldm_aug.evaluation.utility.study_networks import NETWORKS, NetworkSizes, build_network
from lldm_aug.evaluation.utility.study_plan import StudyPlan
from lldm_aug.evaluation.utility.study_tables import describe_masks
from lldm_aug.io.atomic import write_json
from lldm_aug.io.lock import LOCK_FILE, locked
from lldm_aug.metrics.dice import dice
from lldm_aug.pool.manifest import MaskOrigin, read_info
from lldm_aug.training.augment import strongly_augmented

SMALL = ["--steps", "2", "--batch-size", "2", "--patch", "16", "16", "16", "--spacing", "4", "4", "6", "--width", "8"]
SMALL += ["--networks", "unet", "--folds", "0", "--seeds", "0"]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return RawDataset(write_dataset(tmp_path_factory.mktemp("data") / "Dataset998_Blobs", cases=6))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pools") / "pool", cases=3)


def study(data: RawDataset, out: Path, *more: object) -> str:
    arguments = ["evaluate", "utility", "--data", str(data.folder), "--out", str(out), *SMALL, *map(str, more)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(data: RawDataset, out: Path, *more: object) -> str:
    arguments = ["evaluate", "utility", "--data", str(data.folder), "--out", str(out), *SMALL, *map(str, more)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0, result.output
    assert not list(out.rglob("request.json"))
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def finished(blobs: RawDataset, pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    study(
        blobs, out, "--pool", pool, "--arms", "syn,syn-only,real-aug", "--ratios", "0.5", "--label-fractions", "0.5,1"
    )
    return out


@pytest.mark.parametrize("sides", [(12, 20, 8), (40, 16, 18)])
def test_networks_predict_what_they_were_trained_on_patch_by_patch(sides: tuple[int, int, int]) -> None:
    seen = []

    class Network(torch.nn.Conv3d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image)
            return super().forward(image)

    found = predict(Network(1, 2, 1), np.ones((1, *sides), np.float32), (16, 16, 16))
    assert found.shape == sides
    assert {tuple(image.shape) for image in seen} == {(1, 1, 16, 16, 16)}
    if min(sides) < 16:
        assert seen[0][0, 0, 0, 0, 0] == AIR  # as patches of a small case are continued in the training


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_every_case_of_every_cell_has_every_figure(finished: Path, blobs: RawDataset) -> None:
    rows = table(finished, "cells")
    held_out = load_split(blobs, 0).val
    assert len(rows) == 2 * 4 * len(held_out) * 2  # shares, arms, cases, structures
    assert {row["case"] for row in rows} == {*held_out}
    assert {row["arm"] for row in rows} == {"real", "syn@0.5", "syn-only", "real-aug"}
    assert all(0 <= float(row["dice"]) <= 1 for row in rows)
    assert all(row["lesion_f1"] for row in rows if row["structure"] == "hcc")


def test_results_hold_the_tables_and_what_each_arm_rests_on(finished: Path, blobs: RawDataset) -> None:
    results = json.loads((finished / "results.json").read_text())
    names = ("goals", "arms", "gains", "means", "empty", "lesions", "cells", "curves")
    assert tuple(t["name"] for t in results["tables"]) == names
    assert results["cells"] == [8, 8]
    assert results["study"]["labelled"]["fold 0, label fraction 0.5"] == list(
        LabelFraction(fraction=0.5).labelled(load_split(blobs, 0).train)
    )
    seen = {row["arm"]: row["its generator saw"] for row in table(finished, "arms")}
    assert seen["real"] == seen["real-aug"] == "no generator"
    assert "cases of another data set, Dataset999_Other" in seen["syn@0.5"]
    assert {row["step"] for row in table(finished, "curves")} == {"2"}
    assert "## Gains of syn@0.5 in Dice points, label fraction 0.5" in (finished / "report.md").read_text()
    assert not list(finished.rglob("checkpoints"))


def test_arms_say_what_their_masks_are_of_and_by_what_to_check_them(finished: Path, pool: Path) -> None:
    rows = {row["arm"]: row for row in table(finished, "arms") if row["label_fraction"] == "0.5"}
    assert list(rows["real"])[-3:] == ["masks", "pool", "generator"]
    assert not any(rows["real"][name] for name in ("masks", "pool", "generator"))
    (request,) = (finished / "cells" / "unet" / "syn@0.5").glob("labels_0.5_*/request.json")
    assert rows["syn@0.5"]["pool"] == json.loads(request.read_text())["trained_on"]["pool"][:12]
    assert rows["syn@0.5"]["masks"] == "procedural"
    assert rows["syn-only"]["generator"] == read_info(pool).generator.hash[:12]


def test_masks_are_described_by_kind_and_source() -> None:
    origins = [
        MaskOrigin(kind=kind, source_dataset="Dataset700_Study", source_case=f"case_{index % 3}", source_sha256="0")
        for index, kind in enumerate(("edited", "deformed") * 3)
    ]
    assert describe_masks(origins) == "deformed and edited from 3 cases of Dataset700_Study"
    origins = [MaskOrigin(kind="learned"), *origins[:1]]
    assert describe_masks(origins) == "learned; edited from 1 case of Dataset700_Study"


def test_a_page_draws_the_gains_and_curves_of_a_study(blobs: RawDataset, pool: Path, tmp_path: Path) -> None:
    held_out = RawDataset(write_dataset(tmp_path / "Dataset996_Many", cases=6, seed=9))
    more = ("--held-out", held_out.folder, "--folds", "all", "--pool", pool, "--ratios", "0.5")
    study(blobs, tmp_path / "study", *more)
    page = tmp_path / "page.html"
    result = CliRunner().invoke(main, ["evaluate", "report", str(tmp_path / "study"), "--out", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "Gain in dice, label fraction 1" in text
    assert "Learning curves" in text
    assert "cases of another data set, Dataset999_Other" in text
    for name in ("gains", "cells", "curves", "arms"):
        shown = tmp_path / "page_data" / f"1_study.{name}.csv"
        assert shown.read_text() == (tmp_path / "study" / f"{name}.csv").read_text()


def test_the_same_command_trains_nothing_again(finished: Path, blobs: RawDataset, pool: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*")}
    study(blobs, finished, "--pool", pool, "--arms", "syn", "--ratios", "0.5", "--label-fractions", "0.5,1")
    assert {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*")} == before
    arguments = ["evaluate", "utility", "--data", str(blobs.folder), "--out", str(finished), *SMALL, "--steps", "3"]
    result = CliRunner().invoke(main, [*arguments, "--pool", str(pool)])
    assert result.exit_code == 1
    assert "settings.steps 2 -> 3" in " ".join(result.output.split())


def test_parts_make_the_same_study(finished: Path, blobs: RawDataset, pool: Path, tmp_path: Path) -> None:
    more = (
        "--pool",
        pool,
        "--arms",
        "syn",
        "--ratios",
        "0.5",
        "--label-fractions",
        "0.5,1",
        "--num-parts",
        "2",
        "--part-id",
    )
    assert "2 of 4 cells" in study(blobs, tmp_path, *more, 1)
    assert "unfinished: 2 of 4" in (tmp_path / "report.md").read_text()
    assert {row["arm"] for row in table(tmp_path, "cells")} == {"real", "syn@0.5"}
    assert table(tmp_path, "gains")
    assert "4 of 4 cells" in study(blobs, tmp_path, *more, 0)

    def figures(out: Path) -> list[dict[str, str]]:
        return [row for row in table(out, "cells") if row["arm"] in ("real", "syn@0.5")]

    assert figures(tmp_path) == figures(finished)


@pytest.mark.parametrize("num_parts", [1, 2, 3, 5, 7, 40])
def test_parts_hold_whole_groups_and_as_much_of_each_network(num_parts: int, tmp_path: Path) -> None:
    networks, arms = ("unet", "resunet", "attunet", "unetpp", "segresnet"), parse_arms(("syn", "real-aug"), (0.5,))
    plan = StudyPlan(tmp_path, None, None, None, networks, arms, (0.1, 1.0), ("all",), (0, 1, 2), {}, ())
    parts = [plan.part(num_parts, part_id) for part_id in range(num_parts)]
    assert sorted(map(str, itertools.chain(*parts))) == sorted(map(str, plan.cells()))
    for part in parts:
        assert list(part) == [cell for cell in plan.cells() if cell in part]  # seed by seed
        assert {cell.arm for cell in part} in ({*arms}, set())
        for cell in part:
            assert {replace(cell, arm=arm) for arm in arms} <= {*part}
    for network in networks:
        counts = [sum(cell.network == network for cell in part) // len(arms) for part in parts]
        assert max(counts) - min(counts) <= 1
    with pytest.raises(ConfigError, match="is not in"):
        plan.part(num_parts, num_parts)


def test_tables_never_mix_cells_of_other_settings_or_data(blobs: RawDataset, pool: Path, tmp_path: Path) -> None:
    more = ("--pool", pool, "--arms", "real", "--label-fractions", "0.5,1", "--num-parts", "2", "--part-id")
    study(blobs, tmp_path, *more, 0, "--steps", "3")
    report = (tmp_path / "report.md").read_text()
    begun = ["evaluate", "utility", "--data", str(blobs.folder), "--out", str(tmp_path), *SMALL, *map(str, more), "1"]
    result = CliRunner().invoke(main, begun)
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "unet real, label fraction 0.5, fold 0, seed 0: was begun with other settings: settings.steps 3 -> 2" in said
    assert len(list(tmp_path.rglob("request.json"))) == 1  # refused before anything was trained
    assert (tmp_path / "report.md").read_text() == report
    study(blobs, tmp_path, *more, 1, "--steps", "3")
    other = RawDataset(shutil.copytree(blobs.folder, tmp_path / blobs.name))
    write_dataset(other.folder, cases=6, seed=1)
    more = ("--pool", pool, "--arms", "real", "--label-fractions", "1,0.5,0.25", "--num-parts", "3", "--part-id", 2)
    begun = ["evaluate", "utility", "--data", str(other.folder), "--out", str(tmp_path), *SMALL, *map(str, more)]
    result = CliRunner().invoke(main, [*begun, "--steps", "3"])
    said = " ".join(result.output.split())
    assert "unet real, label fraction 1, fold 0, seed 0: was begun with other settings: scored_on" in said
    assert ", trained_on.real" in said


def test_a_cell_that_another_process_is_at_is_left_to_it(blobs: RawDataset, tmp_path: Path) -> None:
    more = ("--arms", "real", "--label-fractions", "0.5,1")
    held = tmp_path / "cells" / "unet" / "real" / "labels_0.5_fold_0_seed_0"
    with locked(held):
        said = study(blobs, tmp_path, *more)
        assert not [path for path in held.iterdir() if path.name != LOCK_FILE]
    assert "1 of 2 cells" in said
    assert "left to another process, which was at work on it: unet real, label fraction 0.5, fold 0, seed 0" in said
    said = study(blobs, tmp_path, *more)
    assert "2 of 2 cells" in said
    assert "left to another" not in said


def test_a_cell_that_another_process_has_finished_meanwhile_is_not_trained_again(
    blobs: RawDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(blobs, tmp_path, "--arms", "real")
    monkeypatch.setattr("lldm_aug.evaluation.utility.study.finished", lambda plan, data: {})  # as it was when we began
    monkeypatch.delattr("lldm_aug.evaluation.utility.study.train_stage")
    assert "1 of 1 cells" in study(blobs, tmp_path, "--arms", "real")


def test_scores_without_their_request_are_refused(blobs: RawDataset, tmp_path: Path) -> None:
    study(blobs, tmp_path, "--arms", "real")
    (request,) = tmp_path.rglob("request.json")
    request.unlink()
    arguments = ["evaluate", "utility", "--data", str(blobs.folder), "--out", str(tmp_path), *SMALL, "--arms", "real"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "was begun with other settings: arm None -> real, fold None -> 0" in " ".join(result.output.split())


def seen_by(blobs: RawDataset, cases: list[str]) -> object:
    return provenance(blobs.name, {case: blobs.label_hash(case) for case in cases})


def test_a_pool_that_saw_what_it_must_not_is_refused(blobs: RawDataset, tmp_path: Path) -> None:
    split, label_fraction = load_split(blobs, 0), LabelFraction(fraction=0.5)
    labelled = list(label_fraction.labelled(split.train))
    outside = next(case for case in split.train if case not in labelled)
    leaky = write_pool(tmp_path / "leaky", 1, generator=seen_by(blobs, [split.val[0]]))
    assert "validation cases have leaked" in refused(blobs, tmp_path / "a", "--pool", leaky)
    whole = write_pool(tmp_path / "whole", 1, generator=seen_by(blobs, list(split.train)))
    found = refused(blobs, tmp_path / "b", "--pool", whole, "--label-fractions", "0.5")
    assert "outside of the label fraction" in found
    assert outside in found
    study(blobs, tmp_path / "c", "--pool", whole, "--label-fractions", "1", "--dry-run")
    origin = MaskOrigin(kind="real", source_dataset=blobs.name, source_case=outside, source_sha256=None)
    masks = write_pool(tmp_path / "masks", 1, generator=seen_by(blobs, labelled), origin=origin)
    assert f"masks saw {outside}" in refused(blobs, tmp_path / "d", "--pool", masks, "--label-fractions", "0.5")


def test_images_without_labels_are_no_leak_but_said(blobs: RawDataset, tmp_path: Path) -> None:
    split, label_fraction = load_split(blobs, 0), LabelFraction(fraction=0.5)
    others = tuple(case for case in split.train if case not in label_fraction.labelled(split.train))
    whole = seen_by(blobs, list(split.train))
    stages = tuple(stage.model_copy(update={"unlabelled": others}) for stage in whole.stages)
    pool = write_pool(tmp_path / "pool", 1, generator=whole.model_copy(update={"stages": stages}))
    output = study(blobs, tmp_path / "out", "--pool", pool, "--label-fractions", "0.5", "--dry-run")
    assert f"{len(split.train) - len(others)} labelled training cases, images of {len(others)} more" in output


def test_a_held_out_set_is_scored_on_and_guarded(blobs: RawDataset, pool: Path, tmp_path: Path) -> None:
    test = RawDataset(write_dataset(tmp_path / "Dataset997_Test", cases=2, seed=5))
    more = ("--held-out", test.folder, "--folds", "all", "--arms", "syn", "--ratios", "0.5")
    study(blobs, tmp_path / "out", *more, "--pool", pool)
    rows = table(tmp_path / "out", "gains")
    assert {row["n"] for row in rows} == {"2"}
    generator = provenance("Dataset001_Renamed", {"x": test.label_hash(test.case_ids[0])})
    leaky = write_pool(tmp_path / "leaky", 1, generator=generator)
    assert "validation cases have leaked" in refused(blobs, tmp_path / "b", *more, "--pool", leaky)
    assert "has no validation cases" in refused(blobs, tmp_path / "b", "--folds", "all")


@pytest.fixture
def copied(blobs: RawDataset, tmp_path: Path) -> RawDataset:
    """Two of the cases under other names, in another data set."""
    folder = write_dataset(tmp_path / "Dataset995_Copied", cases=2)
    for path in folder.rglob("case_*"):
        path.rename(path.with_name(path.name.replace("case_", "renamed_")))
    return RawDataset(folder)


HELD_OUT = ("--arms", "real", "--folds", "all", "--dry-run", "--held-out")


def test_scoring_on_the_training_cases_is_refused(blobs: RawDataset, copied: RawDataset, tmp_path: Path) -> None:
    assert "training saw case_00, case_01" in refused(blobs, tmp_path / "a", *HELD_OUT, blobs.folder)
    found = refused(blobs, tmp_path / "b", *HELD_OUT, copied.folder)
    assert "training saw renamed_00 (as Dataset998_Blobs/case_00)" in found


def test_scoring_on_the_training_patients_is_refused(tmp_path: Path) -> None:
    data, other = (
        RawDataset(write_dataset(tmp_path / name, cases=6, seed=seed))
        for name, seed in (("Dataset993_Seen", 3), ("Dataset994_Scored", 4))
    )
    study(data, tmp_path / "out", *HELD_OUT, other.folder)
    for named, beside in ((other, data), (data, other)):
        patients = {case: f"patient of {case}" for case in named.case_ids}
        write_json(named.folder / "patients.json", {**patients, f"{beside.name}/case_02": "patient of case_05"})
        found = refused(data, tmp_path / "out", *HELD_OUT, other.folder)
        assert "(same patient as case_05)" in found
        (named.folder / "patients.json").unlink()


def test_arms_need_what_they_are_made_of(blobs: RawDataset, pool: Path, tmp_path: Path) -> None:
    assert "need a pool" in refused(blobs, tmp_path, "--arms", "syn")
    assert "needs a generator" in refused(blobs, tmp_path, "--arms", "autoencoded", "--pool", pool)
    assert "no network 'net'" in refused(blobs, tmp_path, "--networks", "net", "--pool", pool)
    other = shutil.copytree(pool, tmp_path / "other")
    info = json.loads((other / "pool.json").read_text())
    info["dataset_json"]["labels"] = {"background": 0, "liver": 1, "cyst": 2}
    (other / "pool.json").write_text(json.dumps(info))
    assert "other structures" in refused(blobs, tmp_path, "--pool", other)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_keep_the_patch_and_start_alike(name: str) -> None:
    sizes = NetworkSizes(channels=1, classes=3, width=8, patch=(32, 32, 8), spacing_mm=(1.0, 1.0, 4.0))
    one, again, other = (build_network(name, sizes, seed) for seed in (0, 0, 1))
    with torch.inference_mode():
        assert one(torch.zeros(1, 1, 32, 32, 8)).shape == (1, 3, 32, 32, 8)
    pairs = list(zip(one.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_thick_axes_are_halved_late() -> None:
    sizes = NetworkSizes(channels=1, classes=2, width=4, patch=(64, 64, 16), spacing_mm=(1.0, 1.0, 4.0))
    assert sizes.strides == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2))
    assert sizes.widths == (4, 8, 16, 32, 64)


def test_a_prediction_comes_back_to_the_case(blobs: RawDataset) -> None:
    case = blobs.load(blobs.case_ids[0])
    same = StudyGrid(case.grid.spacing_mm, None)
    assert np.array_equal(same.back(same.conform(case).label, case.grid), case.label)
    coarse = StudyGrid((3.0, 3.0, 3.0), None)
    back = coarse.back(coarse.conform(case).label, case.grid)
    assert min(dice(back, case.label, blobs.schema).values()) > 0.85


def test_padding_is_undone() -> None:
    image = torch.rand(1, 5, 8, 3)
    padded = pad_to(image, (8, 6, 4), -1.0)
    assert padded.shape == (1, 8, 8, 4)
    assert torch.equal(crop_to(padded, (5, 8, 3)), image)


def test_strong_augmentation_keeps_image_and_mask_together() -> None:
    image, label = (torch.from_numpy(a) for a in blob_case(0, 0))
    bright = (label == 1).float()[None] * 2 - 1
    settings = SegmenterTrainSettings(patch=(16, 16, 16))
    views = [strongly_augmented(bright, label, settings, 0, step, 0, spacing_mm=(2.0, 2.0, 3.0)) for step in range(30)]
    again = strongly_augmented(bright, label, settings, 0, 7, 0, spacing_mm=(2.0, 2.0, 3.0))
    assert torch.equal(views[7][0], again[0])
    assert torch.equal(views[7][1], again[1])
    assert image.shape == label.shape
    apart = []
    for seen, mask in views:
        assert seen.shape == (1, 16, 16, 16)
        assert mask.shape == (16, 16, 16)
        inside, outside = seen[0][mask == 1], seen[0][mask != 1]
        if len(inside) > 50 and len(outside) > 50:
            apart.append(float(inside.mean() - outside.mean()))
    assert len(apart) > 15
    assert np.mean(apart) > 1.0
    assert min(apart) > 0.2
