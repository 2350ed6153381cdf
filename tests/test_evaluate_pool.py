"""``lldm-aug evaluate pool`` from end to end on blobs: what it measures, what it keeps, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from feature_means import Means
from pools import DATASET_JSON, GRID, blob_case, provenance, write_dataset, write_pool

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import CheckpointError, DatasetError, LabelError, LeakageError, PoolError
from lldm_aug.evaluation.comparison import Comparison
from lldm_aug.evaluation.conformed_cases import Reader, View, common_field
from lldm_aug.evaluation.measure.contents import trees
from lldm_aug.evaluation.measure.feature_networks import NetworkChoice
from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.pool_evaluation import POOL, PoolPlan, plan_pool, report_pool, run_pool
from lldm_aug.evaluation.tables.content_tables import Sides, mask_consistency, signal
from lldm_aug.evaluation.tables.distances import Distances
from lldm_aug.evaluation.tables.diversity import ms_ssim, scales_for
from lldm_aug.evaluation.tables.memorization import COPIES, MASK, NONE
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import write_json
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.machine import describe_machine
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import StageProvenance

TABLES = {"distances", "mask_consistency", "vessels", "signal", "diversity", "copy_verdicts", "copies"}


class Bright:
    """A segmenter that takes what is bright for liver, and counts how often it is asked."""

    schema = LabelSchema(("liver", "hcc"))
    num_channels = 1
    hash = "bright"
    stages: tuple[StageProvenance, ...] = ()

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, image, grid):
        """Liver where it is bright."""
        self.calls += 1
        return (image[0] > 130).astype(np.int16)


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("training") / "Dataset990_Training", cases=6, seed=3)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("real") / "Dataset991_Real", cases=8, seed=5)


def history(folder: Path, count: int = 6):
    """A generator that saw the first cases of a data set."""
    dataset = RawDataset(folder)
    return provenance(dataset.name, {c: dataset.label_hash(c) for c in dataset.case_ids[:count]})


@pytest.fixture(scope="module")
def pool(training, tmp_path_factory) -> Path:
    return write_pool(tmp_path_factory.mktemp("pools") / "x", cases=5, seed=7, generator=history(training))


def planned(pool, real, training=None, **changes) -> PoolPlan:
    options = {"fold": None, "segmenter": None, "networks": (NetworkChoice("effnet"),), "seed": 0}
    training = None if training is None else str(training)
    return plan_pool(pool=pool, real=str(real), training=training, **(options | changes))


def with_segmenter(plan: PoolPlan, segmenter: Bright) -> PoolPlan:
    return PoolPlan(**{**vars(plan), "segmenter": segmenter})


def measured_of(plan: PoolPlan, out: Path) -> Comparison:
    return run_pool(plan, out, [FeatureCache(out / "measured", Means())])


def reported(plan: PoolPlan, out: Path):
    return report_pool(plan, measured_of(plan, out), out, describe_machine("cpu"))


def table(results, name):
    found = next(t for t in results.tables if t.name == name)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_everything_is_measured_once_and_kept(pool, real, training, tmp_path):
    segmenter, network = Bright(), Means()
    plan = with_segmenter(planned(pool, real, training), segmenter)
    caches, steps = [FeatureCache(tmp_path, network)], []
    measured = run_pool(plan, tmp_path, caches, lambda done, note: steps.append(done))
    assert (len(measured.pools[POOL].cases), len(measured.real.cases), len(measured.training)) == (5, 8, 6)
    assert steps == list(range(1, plan.steps + 1))
    assert segmenter.calls == 13
    calls = network.calls
    again = run_pool(plan, tmp_path, [FeatureCache(tmp_path, network)])
    assert (segmenter.calls, network.calls) == (13, calls)
    for before, after in zip(measured.pools[POOL].cases, again.pools[POOL].cases, strict=True):
        assert (after.figures, after.segmentation) == (before.figures, before.segmentation)


def test_figures_are_taken_once(pool, real, training, tmp_path, monkeypatch):
    """Texture, signal, small images and cells of masks are kept as features and segmentations are."""
    plan = planned(pool, real, training)
    first = measured_of(plan, tmp_path)
    for name in ("parenchyma_texture", "case_signal", "thumbnail", "mask_cells"):
        monkeypatch.setattr(f"lldm_aug.evaluation.measure.meter.{name}", pytest.fail)
    second = measured_of(plan, tmp_path)
    assert [case.figures for case in second.real.cases] == [case.figures for case in first.real.cases]
    for before, after in zip(first.training, second.training, strict=True):
        assert np.array_equal(before.thumbnail, after.thumbnail)
        assert np.array_equal(before.cells, after.cells)


def test_report_has_every_table_and_says_what_it_compared(pool, real, training, tmp_path):
    results = reported(with_segmenter(planned(pool, real, training), Bright()), tmp_path)
    assert {t.name for t in results.tables} == TABLES
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["pool"]["pairs"] == 5
    assert stored["real"]["cases"] == [f"case_{i:02d}" for i in range(8)]
    assert stored["training"] == {"dataset": "Dataset990_Training", "cases": 6}
    for name in TABLES:
        head = (tmp_path / f"{name}.csv").read_text().splitlines()[0]
        assert head.split(",") == next(t["columns"] for t in stored["tables"] if t["name"] == name)
    for picture in results.nearest_pairs:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert "Copies of training cases: no sign of copies." in (tmp_path / "report.md").read_text()


def test_every_distance_has_its_floor_and_interval(pool, real, tmp_path):
    rows = table(reported(planned(pool, real), tmp_path), "distances")
    assert {row["plane"] for row in rows} == {"2.5D", "axial", "coronal", "sagittal"}
    for row in rows:
        assert row["cases"] == 4  # half of eight real cases, though there are five pairs
        assert row["value"] is not None
        assert row["real_vs_real"] is not None
        if row["measure"] != "FID plain":
            assert row["low"] <= row["value"] <= row["high"]
            assert row["real_vs_real_low"] <= row["real_vs_real"] <= row["real_vs_real_high"]


def test_pairs_unlike_real_cases_lie_above_the_floor(real, training, tmp_path):
    noisy = write_pool(tmp_path / "noisy", cases=4, generator=history(training), background=60.0)
    rows = table(reported(planned(noisy, real), tmp_path / "out"), "distances")
    together = {row["measure"]: row for row in rows if row["plane"] == "2.5D"}
    assert together["KID"]["low"] > together["KID"]["real_vs_real"]
    assert together["FID"]["over_real_vs_real"] > 2


def test_few_slices_for_many_features_are_said(pool, real, tmp_path):
    class Many(Means):
        identity = "many"

        def features(self, slices):
            return np.repeat(super().features(slices), 300, axis=1)

    plan = planned(pool, real)
    measured = run_pool(plan, tmp_path, [FeatureCache(tmp_path, Many())])
    results = report_pool(plan, measured, tmp_path, describe_machine("cpu"))
    assert "than features (1200)" in next(t for t in results.tables if t.name == "distances").note
    assert {row["dimensions"] < 30 for row in table(results, "distances") if row["measure"] == "FID"} == {True}


def test_a_copied_training_case_is_found_and_shown(pool, real, training, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(pool, copied)
    dataset = RawDataset(training)
    replace_case(copied, "syn_0002", dataset.image_paths("case_04")[0], dataset.label_path("case_04"))
    results = reported(planned(copied, real, training), tmp_path / "out")
    assert results.copies_verdict == COPIES
    assert {v.space: v.verdict for v in results.copies} == {"features": COPIES, "image": COPIES, "mask": COPIES}
    for space in ("features", "image", "mask"):
        first = next(row for row in table(results, "copies") if row["space"] == space)
        assert (first["pair"], first["nearest"], first["held_out_quantile"]) == ("syn_0002", "case_04", 0.0)
        assert first["distance"] == pytest.approx(0, abs=1e-5)
    assert any(picture.startswith("nearest_pairs/01_") and "syn_0002" in picture for picture in results.nearest_pairs)


def replace_case(pool: Path, case_id: str, image: Path, label: Path) -> None:
    """Puts other files in a case's place, with their records."""
    from lldm_aug.pool.pool_dataset import file_record

    names = {f"images/{case_id}_0000.nii.gz": image, f"labels/{case_id}.nii.gz": label}
    lines = []
    for line in map(json.loads, (pool / "manifest.jsonl").read_text().splitlines()):
        if line["case_id"] == case_id:
            for name, source in names.items():
                shutil.copyfile(source, pool / name)
                line["files"][name] = file_record(pool / name).model_dump()
        lines.append(json.dumps(line))
    (pool / "manifest.jsonl").write_text("\n".join(lines) + "\n")


def test_masks_of_training_cases_are_near_by_design(real, training, tmp_path):
    dataset = RawDataset(training)
    origin = MaskOrigin(
        kind="real",
        source_dataset=dataset.name,
        source_case="case_01",
        source_sha256=dataset.label_hash("case_01"),
    )
    pool = write_pool(tmp_path / "pool", cases=4, generator=history(training), origin=origin)
    results = reported(planned(pool, real, training), tmp_path / "out")
    by_space = {v.space: v for v in results.copies}
    assert (by_space[MASK].verdict, by_space[MASK].judged, by_space[MASK].by_design) == (None, 0, 4)
    assert by_space["image"].judged == 4
    assert any("by design" in note for note in results.notes)


def test_without_training_data_copies_are_not_called_absent(pool, real, tmp_path):
    results = reported(planned(pool, real), tmp_path)
    assert results.copies_verdict is None
    assert any("copies were not looked for" in note for note in results.notes)
    assert "Copies of training cases: not looked for" in (tmp_path / "report.md").read_text()


def test_seen_cases_are_set_aside_and_searched_for_copies(training, tmp_path):
    pool = write_pool(tmp_path / "pool", generator=history(training, count=2))
    plan = planned(pool, training)
    assert plan.real.case_ids == ("case_02", "case_03", "case_04", "case_05")
    assert set(plan.real.set_aside) == {"case_00", "case_01"}
    assert plan.training_cases == ("case_00", "case_01")
    assert any("2 real cases were seen" in note for note in plan.notes)


def test_too_few_unseen_cases_are_refused(training, tmp_path):
    pool = write_pool(tmp_path / "pool", generator=history(training, count=3))
    with pytest.raises(LeakageError, match="autoencoder saw case_00"):
        planned(pool, training)


def test_a_fold_with_a_seen_case_is_refused(real, tmp_path):
    pool = write_pool(tmp_path / "pool", generator=history(real, count=8))
    with pytest.raises(LeakageError, match="2 of 2 real cases were seen"):
        planned(pool, real, fold=0)


def test_cases_that_lent_masks_are_set_aside(real, training, tmp_path):
    sha256 = RawDataset(real).label_hash("case_03")
    origin = MaskOrigin(kind="deformed", source_dataset="Dataset5_Old", source_case="other", source_sha256=sha256)
    pool = write_pool(tmp_path / "pool", generator=history(training), origin=origin)
    assert set(planned(pool, real).real.set_aside) == {"case_03"}  # under whatever name


@pytest.mark.parametrize("where", ["raw", "preprocessed"])
def test_cases_of_seen_patients_are_set_aside(training, tmp_path, monkeypatch, where):
    folder = tmp_path / "raw" / "Dataset992_Visits"
    shutil.copytree(training, folder)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    patients = {f"case_{i:02d}": "anna" if i in (0, 5) else f"p{i}" for i in range(6)}
    write_json(tmp_path / where / folder.name / "patients.json", patients)
    pool = write_pool(tmp_path / "pool", generator=history(folder, count=1))
    assert set(planned(pool, folder).real.set_aside) == {"case_00", "case_05"}


def test_what_does_not_suit_is_refused(pool, real, training, tmp_path):
    one = write_pool(tmp_path / "one", cases=1, generator=history(training))
    with pytest.raises(PoolError, match="at least 2"):
        planned(one, real)
    vessels = {"background": 0, "liver": 1, "portal_vein": 2}
    with pytest.raises(LabelError, match="hcc"):
        planned(pool, write_dataset(tmp_path / "Dataset993_Vessels", labels=vessels))
    with pytest.raises(CheckpointError, match="no segmenter"):
        planned(pool, real, segmenter=real)
    with pytest.raises(DatasetError, match="at least 4"):
        planned(pool, write_dataset(tmp_path / "Dataset994_Few", cases=3, seed=9))
    other = write_dataset(tmp_path / "Dataset995_Other", cases=6, seed=8)
    with pytest.raises(DatasetError, match="missing or differ"):
        planned(pool, real, training=other)


def test_real_cases_may_have_more_structures_than_the_pool(real, training, tmp_path):
    described = {**DATASET_JSON, "labels": {"background": 0, "liver": 1}}
    pool = write_pool(tmp_path / "pool", cases=2, generator=history(training), dataset_json=described)
    plan = planned(pool, real)
    view = View.common(plan.pool, plan.real.dataset, plan.real.case_ids)
    label = Reader(view, plan.pool.schema, plan.real.dataset).real_case("case_00").label
    assert set(np.unique(label)) == {0, 1}  # its tumour is liver there


def test_equal_sets_have_equal_contents(pool, real, tmp_path):
    measured = measured_of(with_segmenter(planned(pool, real), Bright()), tmp_path)
    sides = Sides(measured.real.cases, measured.real.cases, LabelSchema(("liver", "hcc")), 0)
    for row in signal(sides).rows:
        assert row[4] == pytest.approx(0, abs=1e-9) or row[2] is None
    rows = mask_consistency(sides).rows
    assert rows[0][3] == pytest.approx(1)
    assert rows[0][1] == pytest.approx(rows[0][2])


def test_vessels_in_components_are_counted():
    label = np.zeros((20, 8, 8), np.int16)
    label[2:8, 4, 4] = label[12:14, 3:5, 4] = label[18, 7, 7] = HBP.value("portal_vein")
    tree = trees(label, HBP)["portal_vein"]
    assert (tree.components, tree.largest) == (2, pytest.approx(6 / 11))  # the single voxel is a speck
    assert "hepatic_vein" not in trees(label, HBP)


def test_ms_ssim_of_a_volume_with_itself_is_one():
    image = blob_case(0, 0)[0][None] / 100
    scales = scales_for(GRID.shape)
    assert scales == 2
    assert ms_ssim(image, image, scales) == pytest.approx(1)
    assert ms_ssim(image, blob_case(0, 1)[0][None] / 100, scales) < 0.9
    assert scales_for((96, 96, 64)) == 4
    assert scales_for((96, 96, 6)) == 0
    assert scales_for((16, 16, 12)) == 0  # the second scale would be smaller than the window


def test_field_of_view_is_what_all_cases_cover():
    pair, case = Grid.regular((40, 40, 20), (2.0, 2.0, 3.0)), Grid.regular((50, 20, 30), (1.0, 5.0, 3.0))
    assert common_field([pair, pair], [case]) == ((25, 40, 20), (2.0, 2.0, 3.0))


def test_command_line_with_the_packaged_network(training, tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    few = write_dataset(tmp_path / "Dataset996_Few", cases=4, seed=5)
    small = write_pool(tmp_path / "pool", cases=2, generator=history(training, count=2))
    options = ["--real", str(few), "--synthetic", str(small), "--training", str(training), "--out", str(tmp_path / "o")]
    dry = CliRunner().invoke(main, ["evaluate", "pool", *options, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not (tmp_path / "o").exists()
    done = CliRunner().invoke(main, ["evaluate", "pool", *options])
    assert done.exit_code == 0, done.output
    assert "KID" in done.output
    stored = json.loads((tmp_path / "o" / "results.json").read_text())
    assert stored["networks"][0]["name"].startswith("EfficientNet")
    assert stored["copies_verdict"] == NONE


def test_weights_are_asked_for(pool, real, tmp_path):
    options = ["--real", str(real), "--synthetic", str(pool), "--network", "inception", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(main, ["evaluate", "pool", *options])
    assert done.exit_code == 2
    assert "--weights" in done.output


@pytest.mark.parametrize(("slices", "said"), [(6, False), (9, True)])
def test_unequal_numbers_of_slices_are_said(slices: int, said: bool) -> None:
    """FID depends on them: a pool of smaller livers has fewer slices, and would look worse than its real-vs-real
    distance."""
    rng = np.random.default_rng(0)

    def cases(count: int, each: int):
        return [({"axial": rng.normal(size=(each, 4))},) for _ in range(count)]

    sets = {"pool": cases(4, 6), "real": cases(4, slices)}
    table = Distances.between(sets, cases(4, slices), ["net"], 0, paired=False).table("pool")
    assert ("Slices differ in number (axial: 24 of pairs, 36 and 36 of real cases)" in table.note) == said
