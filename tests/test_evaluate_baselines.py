"""``lldm-aug evaluate baselines`` from end to end on tiny data: its tables, the same again at once, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pools import write_dataset
from tiny import STAGE, copy_without, segmenter_config, tiny_config

from lldm_aug.cli import main
from lldm_aug.config.load import resolved_yaml
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import IncompatibleResume
from lldm_aug.evaluation.baselines.baselines_plan import METHODS
from lldm_aug.evaluation.baselines.compare import COLUMNS
from lldm_aug.evaluation.baselines.train_methods import missed, open_budget, settle, with_steps
from lldm_aug.evaluation.tables.distances import Distances
from lldm_aug.stages.run import train
from lldm_aug.training.checkpoint import trained_seconds, trained_steps

TIME = "0.004"

pytestmark = pytest.mark.slow  # five trainings before the first test


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("heldout") / "Dataset997_HeldOut", cases=4, seed=5)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(resolved_yaml(tiny_config(**STAGE | {"steps": 2, "checkpoint_every": 1})))
    return path


def evaluate(dataset: RawDataset, heldout: Path, out: Path, *more: str) -> Result:
    data = ["--data", str(dataset.folder), "--fold", "0", "--heldout", str(heldout), "--n", "2"]
    return CliRunner().invoke(main, ["evaluate", "baselines", *data, "--out", str(out), *more])


@pytest.fixture(scope="module")
def report(dataset: RawDataset, heldout: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished report, every method hardly trained."""
    pytest.importorskip("efficientnet_lite_pytorch")
    out = tmp_path_factory.mktemp("reports") / "x"
    done = evaluate(dataset, heldout, out, "--config", str(settings), "--minutes", TIME)
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in (*METHODS, "real", "ours / this FID"))
    return out


def lines(report: Path) -> dict[str, dict[str, str]]:
    with (report / "methods.csv").open() as stream:
        return {line["method"]: line for line in csv.DictReader(stream)}


def test_the_table_has_every_method_and_the_floor(report: Path) -> None:
    table = lines(report)
    assert list(table) == [*METHODS, "real"]
    assert tuple(table["ours"]) == COLUMNS
    assert float(table["ours"]["ours / this FID"]) == 1
    assert float(table["real"]["FID over real-vs-real"]) == 1
    assert table["ours"]["Dice over real"] == ""  # no evaluation segmenter
    for name in METHODS:
        assert float(table[name]["FID"]) == pytest.approx(
            float(table["ours"]["FID"]) / float(table[name]["ours / this FID"])
        )
        assert float(table[name]["per case (s)"]) > 0
        assert float(table[name]["weights (million)"]) > 0


def test_training_counts_the_autoencoder_wherever_there_is_one(report: Path) -> None:
    table, run = lines(report), report / "run"
    autoencoder = trained_seconds(run / "autoencoder")
    assert float(table["latent"]["training (s)"]) == pytest.approx(
        autoencoder + trained_seconds(run / "baseline_latent")
    )
    assert float(table["gan"]["training (s)"]) == pytest.approx(trained_seconds(run / "baseline_gan"))
    steps = json.loads((report / "budget.json").read_text())["steps"]
    assert {name: trained_steps(run / name) for name in steps} == steps


def test_results_are_machine_readable_and_say_what_was_compared(report: Path, heldout: Path) -> None:
    results = json.loads((report / "results.json").read_text())
    names = {table["name"] for table in results["tables"]}
    assert {"methods", "ratios", "training", "distances", "mask_consistency", "signal", "diversity"} <= names
    assert {row[0] for table in results["tables"] if table["name"] == "signal" for row in table["rows"]} == {*METHODS}
    assert len({*results["heldout"]["masks"], *results["heldout"]["others"]}) == 4
    assert "minutes on one machine" in " ".join(results["notes"])
    assert (report / "mosaic.png").stat().st_size > 1000
    assert "| ours |" in (report / "report.md").read_text()


def test_the_same_again_trains_and_generates_nothing(
    report: Path, dataset: RawDataset, heldout: Path, settings: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (report / "run").rglob("*.safetensors")}
    table = lines(report)
    done = evaluate(dataset, heldout, report, "--config", str(settings), "--minutes", TIME)
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in (report / "run").rglob("*.safetensors")} == before
    assert lines(report) == table


def test_other_minutes_are_refused(report: Path, dataset: RawDataset, heldout: Path, settings: Path) -> None:
    done = evaluate(dataset, heldout, report, "--config", str(settings), "--minutes", "1")
    assert done.exit_code == 1
    assert "was begun with" in done.stderr


def test_a_finished_run_is_taken_as_it_is(report: Path, dataset: RawDataset, heldout: Path, tmp_path: Path) -> None:
    run, out = report / "run", tmp_path / "x"
    done = evaluate(dataset, heldout, out, "--model", str(run), "--baselines", "latent", "--minutes", TIME)
    assert done.exit_code == 0, done.output
    generator = "generator/SHA256SUMS"
    assert (out / "run" / generator).read_bytes() == (run / generator).read_bytes()
    assert list(lines(out)) == ["ours", "latent", "real"]
    assert lines(out)["ours"]["FID"] == lines(report)["ours"]["FID"]


def test_a_segmenter_measures_every_method_and_the_real_cases(
    report: Path, dataset: RawDataset, heldout: Path, tmp_path: Path
) -> None:
    train("segmenter", segmenter_config(steps=2), dataset, 0, tmp_path / "judge")
    segmenter = ["--segmenter", str(tmp_path / "judge"), "--model", str(report / "run"), "--baselines", "gan"]
    done = evaluate(dataset, heldout, tmp_path / "x", *segmenter, "--minutes", TIME)
    assert done.exit_code == 0, done.output
    assert "Dice of the evaluation segmenter" in done.stdout
    with (tmp_path / "x" / "mask_consistency.csv").open() as stream:
        found = {(line["images"], line["structure"]): line for line in csv.DictReader(stream)}
    assert list(found) == [(method, name) for method in ("ours", "gan") for name in dataset.schema.names]
    assert all(0 <= float(line[side]) <= 1 for line in found.values() for side in ("synthetic", "real") if line[side])


def test_a_segmenter_that_saw_held_out_cases_is_refused(dataset: RawDataset, heldout: Path, tmp_path: Path) -> None:
    cases = RawDataset(heldout)
    train("segmenter", segmenter_config(steps=1), cases, "all", tmp_path / "judge")
    done = evaluate(dataset, heldout, tmp_path / "x", "--segmenter", str(tmp_path / "judge"))
    assert "the evaluation segmenter has seen held-out cases" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_run_of_other_cases_is_refused(report: Path, dataset: RawDataset, heldout: Path, tmp_path: Path) -> None:
    data = ["--data", str(dataset.folder), "--fold", "1", "--heldout", str(heldout)]
    done = CliRunner().invoke(
        main, ["evaluate", "baselines", *data, "--model", str(report / "run"), "--out", str(tmp_path / "x")]
    )
    assert "was trained on other cases" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_run_without_an_autoencoder_is_refused(
    report: Path, dataset: RawDataset, heldout: Path, tmp_path: Path
) -> None:
    part = copy_without(report / "run", tmp_path / "run", "autoencoder/export")
    assert "no autoencoder/export" in evaluate(dataset, heldout, tmp_path / "x", "--model", str(part)).stderr


def test_training_cases_are_no_held_out_cases(dataset: RawDataset, settings: Path, tmp_path: Path) -> None:
    done = evaluate(dataset, dataset.folder, tmp_path / "x", "--config", str(settings))
    assert done.exit_code == 1
    assert "fold 0 has seen held-out cases" in done.stderr
    assert not (tmp_path / "x").exists()


def test_dry_run_writes_nothing(dataset: RawDataset, heldout: Path, settings: Path, tmp_path: Path) -> None:
    done = evaluate(dataset, heldout, tmp_path / "x", "--config", str(settings), "--minutes", "3", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "ours, gan, pixel, latent" in done.stdout
    assert "mask consistency was not measured" in done.stderr
    assert "3.0 minutes" in done.stdout
    assert not (tmp_path / "x").exists()


def test_minutes_become_steps_once(tmp_path: Path) -> None:
    budget = open_budget(tmp_path, 60.0, 0.3)
    settled = settle(tmp_path, budget, "x", 30.0, lambda count: [9.0, 9.0, *[0.5] * (count - 2)])
    assert settled.steps == {"x": 60}
    again = settle(tmp_path, open_budget(tmp_path, 60.0, 0.3), "x", 30.0, lambda count: [1.0] * count)
    assert again == settled
    with pytest.raises(IncompatibleResume, match="1 minutes"):
        open_budget(tmp_path, 120.0, 0.3)


def test_a_short_training_has_a_short_warm_up() -> None:
    config = with_steps(tiny_config(steps=600, warmup_steps=50), "baseline_gan", 100)
    assert (config.train.baseline_gan.steps, config.train.baseline_gan.warmup_steps) == (100, 10)
    assert config.train.baseline_pixel.steps == 600


def features(shift: float, seed: int) -> list[tuple[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(seed)
    return [({plane: rng.normal(shift, 1, (30, 6)) for plane in ("axial", "coronal")},) for _ in range(8)]


def distances_of(sets: dict[str, list[tuple[dict[str, np.ndarray]]]]) -> Distances:
    return Distances.between(sets, features(0, 1), ["net"], 0, paired=True)


def test_unequal_compute_is_told() -> None:
    assert missed(180, {"ours": 166, "gan": 190}) == missed(None, {"ours": 1}) == []
    (told,) = missed(180, {"ours": 166, "pixel": 208, "latent": 154})
    assert "pixel 208 s, latent 154 s of 180 s" in told


def test_distances_grow_with_the_shift_and_lie_in_their_intervals() -> None:
    sets = {"ours": features(0.3, 0), "far": features(1, 2), "real": features(0, 3)}
    distances = distances_of(sets)
    for measure in ("FID", "KID"):
        near, far = (distances.of(measure, name) for name in ("ours", "far"))
        assert near.low < near.value < near.high < far.low
        ratio = distances.ratio(measure, "ours", "far")
        assert ratio.value == pytest.approx(near.value / far.value)
        assert ratio.low < ratio.value < ratio.high < 1
    assert distances.of("FID plain", "far").value == pytest.approx(6, rel=0.3)  # unit Gaussians 1 apart in 6 dimensions


def test_a_set_beside_itself_has_ratios_of_one() -> None:
    distances = distances_of({"ours": features(1, 0), "real": features(1, 0)})
    for ratio in (distances.ratio("FID", "ours", "ours"), distances.over_real_vs_real("KID", "ours")):
        assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1, 1, 1))
