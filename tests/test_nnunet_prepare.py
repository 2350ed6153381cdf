"""Preparing a pool with the real plans: resumable, fresh, leak-free, and compared with the real cases."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pools
import pytest
from nnunet_project import CONFIGURATION, Project, prepare

from lldm_aug.errors import DatasetError, IncompatibleResume, LabelError, LeakageError, LldmAugError, PoolError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.pool.manifest import MaskOrigin
from nnunet_integration.prepare import plan_preparation
from nnunet_integration.prepared import PreparedSet, find_prepared
from nnunet_integration.target import Target
from nnunet_integration.training_report import compare_with_real


@pytest.fixture
def clean(project: Project) -> Project:
    """The project without any prepared set."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)
    return project


def run(project: Project, pool: Path | None = None, **options: object) -> PreparedSet:
    prepare("700", pool or project.pool, CONFIGURATION, **{"fold": 0, **options})
    return find_prepared(Target.find("700", CONFIGURATION), options.get("fold", 0), options.get("name"))


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, dict]:
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    image, label, _, properties = infer_dataset_class(str(folder))(str(folder), [name]).load_case(name)
    return np.asarray(image[:]), np.asarray(label[:]), properties


def test_every_case_goes_through_nnunets_preprocessing(clean: Project) -> None:
    prepared = run(clean)
    assert sorted(prepared.cases()) == [f"syn_{i:04d}" for i in range(5)]
    image, label, properties = load(prepared.data_folder, "syn_0000")
    assert image.shape == label.shape
    assert abs(image[0][label[0] >= 0].mean()) < 0.5  # z-scored
    assert sorted(properties["class_locations"]) == [1, 2]


def test_a_real_case_prepared_as_synthetic_comes_out_the_same(clean: Project, tmp_path: Path) -> None:
    pool = pools.write_pool(tmp_path / "same", cases=1, seed=0)
    prepared = run(clean, pool)
    real = load(clean.preprocessed / "nnUNetPlans_3d_fullres", "case_00")
    ours = load(prepared.data_folder, "syn_0000")
    assert np.array_equal(real[0], ours[0])
    assert np.array_equal(real[1], ours[1])


def test_only_cases_are_in_the_data_folder(clean: Project) -> None:
    prepared = run(clean)
    assert {p.suffix for p in prepared.data_folder.iterdir()} == {".b2nd", ".pkl"}
    assert {p.name for p in prepared.root.iterdir()} == {
        f"nnUNetPlans_3d_fullres{ending}" for ending in ("", ".json", ".jsonl", ".report.json")
    }


def test_the_real_data_is_untouched(clean: Project) -> None:
    folder = clean.preprocessed / "nnUNetPlans_3d_fullres"
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    run(clean)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_run_again_it_does_only_what_is_missing(clean: Project) -> None:
    prepared = run(clean)
    before = {p.name: p.stat().st_mtime_ns for p in prepared.data_folder.iterdir()}
    (prepared.data_folder / "syn_0002.pkl").unlink()
    run(clean)
    after = {p.name: p.stat().st_mtime_ns for p in prepared.data_folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {
        f"syn_0002{e}" for e in (".b2nd", "_seg.b2nd", ".pkl")
    }


def test_a_grown_pool_is_completed(clean: Project, tmp_path: Path) -> None:
    pool = pools.write_pool(tmp_path / "growing", cases=1)
    run(clean, pool)
    pools.write_pool_case(pool, 1, 1, MaskOrigin(kind="procedural"))
    assert sorted(run(clean, pool).cases()) == ["syn_0000", "syn_0001"]


@pytest.mark.slow
def test_processes_change_nothing(clean: Project) -> None:
    alone = run(clean, name="alone").cases()
    many = run(clean, name="many", num_processes=2).cases()
    assert {n: c.files[f"{n}.b2nd"].sha256 for n, c in alone.items()} == {
        n: c.files[f"{n}.b2nd"].sha256 for n, c in many.items()
    }


@pytest.mark.slow
def test_killed_and_run_again_it_ends_like_an_unbroken_run(clean: Project, tmp_path: Path) -> None:
    pool = pools.write_pool(tmp_path / "pool", cases=12)
    unbroken = run(clean, pool, name="unbroken").cases()
    killed = PreparedSet.of(Target.find("700", CONFIGURATION), "killed", 0)
    plan = f"plan_preparation('700', Path({str(pool)!r}), {CONFIGURATION!r}, fold=0, name='killed')"
    names = "plan_preparation, run_preparation"
    code = f"from pathlib import Path; from nnunet_integration.prepare import {names}; run_preparation({plan})"
    for enough in (2, 5):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
        while len(killed.cases()) < enough and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.wait()
        files = [file for case in killed.cases().values() for file in case.files.items()]
        assert all(sha256_file(killed.data_folder / name) == record.sha256 for name, record in files)
    assert len(killed.cases()) < 12
    again = run(clean, pool, name="killed").cases()
    assert {n: c.files[f"{n}.b2nd"] for n, c in again.items()} == {n: c.files[f"{n}.b2nd"] for n, c in unbroken.items()}


def test_planning_writes_nothing(clean: Project) -> None:
    assert len(plan_preparation("700", clean.pool, CONFIGURATION, fold=0).missing) == 5
    assert not (clean.preprocessed / "lldm_aug").exists()


def test_another_pool_under_the_same_name_is_refused(clean: Project, tmp_path: Path) -> None:
    run(clean, name="set")
    generator = pools.provenance(cases=("another",))
    other = pools.write_pool(tmp_path / "other", cases=1, generator=generator)
    with pytest.raises(IncompatibleResume, match="other settings: generator"):
        run(clean, other, name="set")


@pytest.mark.parametrize(
    ("change", "stale"),
    [({"patch_size": [8, 8, 8]}, False), ({"batch_size": 4}, False), ({"spacing": [1, 1, 1]}, True)],
)
def test_a_set_is_stale_after_other_preprocessing_only(clean: Project, change: dict, stale: bool) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    prepared = run(clean)
    plans = json.loads((clean.preprocessed / "nnUNetPlans.json").read_text())
    plans["configurations"][CONFIGURATION].update(change)
    description = json.loads((clean.preprocessed / "dataset.json").read_text())
    target = Target(clean.preprocessed, description, PlansManager(plans), CONFIGURATION)
    with pytest.raises(PoolError, match=r"stale.*another spacing") if stale else nullcontext():
        prepared.check_fits(target)


def test_leaks_are_refused_for_the_fold_that_they_spoil_only(clean: Project, tmp_path: Path) -> None:
    held_out = plan_preparation("700", clean.pool, CONFIGURATION, fold=0).split.val
    pool = pools.write_pool(tmp_path / "leaky", cases=1, generator=pools.provenance("Dataset700_Blobs", held_out))
    with pytest.raises(LeakageError, match=f"autoencoder saw {held_out[0]}"):
        run(clean, pool)
    assert run(clean, pool, fold=1).cases()
    with pytest.warns(UserWarning, match="LEAKAGE ALLOWED"):
        assert run(clean, pool, allow_leakage=True).info().leaks


def test_a_renamed_validation_case_behind_a_mask_is_refused(clean: Project, tmp_path: Path) -> None:
    target = Target.find("700", CONFIGURATION)
    held_out = plan_preparation("700", clean.pool, CONFIGURATION, fold=0).split.val[0]
    sha256 = target.label_hashes([held_out])[held_out]
    origin = MaskOrigin(kind="deformed", source_dataset="Elsewhere", source_case="renamed", source_sha256=sha256)
    pool = pools.write_pool(tmp_path / "masks", cases=1, origin=origin)
    with pytest.raises(LeakageError, match=rf"masks saw {held_out} \(as Elsewhere/renamed\)"):
        run(clean, pool)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"channel_names": {"0": "CT"}}, PoolError),
        ({"channel_names": {"0": "MR", "1": "T2"}}, PoolError),
        ({"labels": {"background": 0, "liver": 1, "spleen": 2}}, LabelError),
        ({"labels": {"background": 0, "liver": 1}}, LabelError),
        ({"file_ending": ".mgz"}, PoolError),
    ],
)
def test_a_pool_of_another_kind_is_refused(clean: Project, tmp_path: Path, change: dict, error: type) -> None:
    pool = pools.write_pool(tmp_path / "kind", cases=1, dataset_json={**pools.DATASET_JSON, **change})
    with pytest.raises(error):
        run(clean, pool)


def test_a_damaged_case_is_named_and_the_others_stay(clean: Project, tmp_path: Path) -> None:
    pool = pools.write_pool(tmp_path / "damaged", cases=2)
    path = pool / "images" / "syn_0001_0000.nii.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LldmAugError, match="syn_0001"):
        run(clean, pool)
    prepared = PreparedSet.of(Target.find("700", CONFIGURATION), "damaged", 0)
    assert list(prepared.cases()) == ["syn_0000"]
    assert not list(prepared.root.glob(".*"))


def test_missing_things_are_named(clean: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="no configuration '2d_unknown'"):
        prepare("700", clean.pool, "2d_unknown", fold=0)
    with pytest.raises(DatasetError, match="no fold 9"):
        prepare("700", clean.pool, CONFIGURATION, fold=9)
    with pytest.raises(DatasetError, match=r"0 data sets match '123'.*plan_and_preprocess"):
        prepare("123", clean.pool, CONFIGURATION, fold=0)
    monkeypatch.delenv("nnUNet_preprocessed")
    with pytest.raises(DatasetError, match="nnUNet_preprocessed is not set"):
        prepare("700", clean.pool, CONFIGURATION, fold=0)


def test_sets_have_to_be_chosen_between(clean: Project) -> None:
    run(clean, name="one")
    run(clean, name="two")
    with pytest.raises(DatasetError, match=r"2 prepared sets fit \(one, two\)"):
        find_prepared(Target.find("700", CONFIGURATION), 0)


def test_alike_cases_raise_no_warning(clean: Project) -> None:
    report = json.loads(run(clean).report_path.read_text())
    assert report["warnings"] == []
    assert report["synthetic"]["cases"] == 5
    assert report["real"]["zeros"] == pytest.approx(report["synthetic"]["zeros"], abs=0.1)


def test_a_noisy_background_is_warned_of(clean: Project, tmp_path: Path) -> None:
    pool = pools.write_pool(tmp_path / "noisy", cases=2, background=1.0)
    report = json.loads(run(clean, pool).report_path.read_text())
    assert any("exact zeros" in warning for warning in report["warnings"])
    assert report["synthetic"]["zeros"] < 0.01


def test_the_report_needs_no_raw_files(clean: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = run(clean)
    preparation = plan_preparation("700", clean.pool, CONFIGURATION, fold=0)
    monkeypatch.delenv("nnUNet_raw")
    report = compare_with_real(preparation.target, preparation.split.train, prepared, preparation.pool)
    assert report["real"]["zeros"] is None
    assert report["warnings"] == []
