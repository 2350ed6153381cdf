"""Every mode of nnU-Net on a blend: configurations, cascade, regions and ignore label, folds, workers, several GPUs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pools
import pytest
import torch
from nnunet_project import CONFIGURATION, NAME, Project, at_work, cut, keys, make, prepare, preprocess, record
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lldm_aug.doctor import discover_folder
from lldm_aug.errors import DatasetError
from lldm_aug.io.nifti import write_nifti
from lldm_aug.volume import Volume
from nnunet_integration.loader import is_synthetic

LOWRES, CASCADE, FLAT = "3d_lowres", "3d_cascade_fullres", "2d"
REGIONS = "Dataset701_Regions"


@pytest.fixture(scope="module")
def modes(planned: Project) -> Iterator[Project]:
    """The project with all four configurations, as nnU-Net plans them for large images."""
    path = planned.preprocessed / "nnUNetPlans.json"
    before = path.read_text()
    plans = json.loads(before)
    cut(plans["configurations"][FLAT])
    half = {"spacing": [2 * n for n in plans["configurations"][CONFIGURATION]["spacing"]]}
    names = {"data_identifier": "nnUNetPlans_3d_lowres", "next_stage": CASCADE}
    plans["configurations"][LOWRES] = {"inherits_from": CONFIGURATION, **half, **names}
    plans["configurations"][CASCADE] = {"inherits_from": CONFIGURATION, "previous_stage": LOWRES}
    path.write_text(json.dumps(plans))
    with at_work(planned.root):
        for configuration in (FLAT, LOWRES):
            preprocess(planned.preprocessed, planned.root / "nnUNet_raw" / NAME, configuration)
    yield planned
    path.write_text(before)


@pytest.fixture
def quick(modes: Project, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with settings for a run of seconds."""
    for name, value in {"EPOCHS": 1, "ITERATIONS": 2, "VAL_ITERATIONS": 1, "SET": "modes"}.items():
        monkeypatch.setenv(f"LLDM_AUG_{name}", str(value))
    monkeypatch.setenv("nnUNet_extTrainer", str(discover_folder()))
    return project


def run(configuration: str, fold: int | str = 0, **options: object):
    """A trained trainer."""
    trainer = make(fold, configuration, **options)
    trainer.run_training()
    (epoch,) = record(trainer)["epochs"]
    assert epoch["synthetic"] == epoch["cases"] / 2
    return trainer


@pytest.mark.parametrize(("configuration", "dimensions"), [(FLAT, 2), (LOWRES, 3)])
def test_flat_and_coarse_configurations_train(quick: Project, configuration: str, dimensions: int) -> None:
    prepare("700", quick.pool, configuration, fold=0, name="modes")
    trainer = run(configuration)
    assert next(trainer.dataloader_train)["data"].ndim == dimensions + 2


@pytest.mark.parametrize("fold", [1, 2, 3, 4, "all"])
def test_every_fold_trains_on_its_own_set(quick: Project, fold: int | str) -> None:
    prepare("700", quick.pool, CONFIGURATION, fold=fold, name="modes")
    training, validation = make(fold).get_dataloaders()
    assert sum(map(is_synthetic, keys(training, 4))) == 4
    held_out = {case for side in quick.splits[0].values() for case in side} if fold == "all" else None
    assert set(keys(validation, 4)) <= (held_out or set(quick.splits[fold]["val"]))


@pytest.fixture(scope="module")
def regions(modes: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with overlapping regions and an ignore label, and a pool of its kind without any ignored voxel."""
    labels = {"background": 0, "whole": [1, 2], "hcc": 2, "ignore": 3}
    raw = modes.root / "nnUNet_raw" / REGIONS
    folder = modes.preprocessed.with_name(REGIONS)
    pools.write_dataset(raw, labels=labels)
    for index in range(6):
        label = pools.blob_case(0, index)[1]
        label[:4] = 3
        write_nifti(raw / "labelsTr" / f"case_{index:02d}.nii.gz", Volume(label, pools.GRID))
    folder.mkdir()
    shutil.copytree(raw / "labelsTr", folder / "gt_segmentations")
    shutil.copy(modes.preprocessed / "dataset_fingerprint.json", folder)
    description = json.loads((raw / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "regions_class_order": [1, 2]}))
    plans = json.loads((modes.preprocessed / "nnUNetPlans.json").read_text())
    (folder / "nnUNetPlans.json").write_text(json.dumps({**plans, "dataset_name": REGIONS}))
    preprocess(folder, raw, CONFIGURATION)
    pool = tmp_path_factory.mktemp("regions") / "pool"
    return pools.write_pool(pool, cases=3, dataset_json={**pools.DATASET_JSON, "labels": labels})


def test_regions_and_an_ignore_label_train(quick: Project, regions: Path) -> None:
    prepare("701", regions, CONFIGURATION, fold=0, name="modes")
    trainer = run(CONFIGURATION, dataset=REGIONS)
    target = next(trainer.dataloader_train)["target"][0]
    assert target.shape[1] == 3  # two regions, and where nothing is known
    assert (target[:, 0] >= target[:, 1]).all()  # the tumour lies in the whole


def test_a_cascade_before_its_previous_stage_is_refused_at_once(quick: Project) -> None:
    with pytest.raises(DatasetError, match="Run 'nnUNetv2_train 700 3d_lowres 3 -tr nnUNetTrainerLLDMAug' first"):
        prepare("700", quick.pool, CASCADE, fold=3, name="modes")
    with pytest.raises(DatasetError, match=r"6 cases lack segmentations.*Train all folds of 3d_lowres"):
        make(3, CASCADE).get_dataloaders()


def test_the_previous_stage_may_have_another_trainer(quick: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLDM_AUG_PREVIOUS_TRAINER", "nnUNetTrainer")
    with pytest.raises(DatasetError, match="/nnUNetTrainer__nnUNetPlans__3d_lowres/predicted_next_stage"):
        make(3, CASCADE).get_dataloaders()


@pytest.mark.slow
def test_a_cascade_trains_on_what_its_previous_stage_makes_of_synthetic_cases(
    quick: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in (0, "all"):  # fold all stands for all folds: its validation segments every real case
        prepare("700", quick.pool, LOWRES, fold=fold, name="modes")
        coarse = run(LOWRES, fold)
    coarse.perform_actual_validation()
    prepared = prepare("700", quick.pool, CASCADE, fold=0, name="modes")
    made = prepared.parent / "previous_stage" / LOWRES
    assert sorted(path.name for path in made.iterdir()) == [f"syn_{i:04d}.b2nd" for i in range(5)]
    trainer = run(CASCADE)
    assert next(trainer.dataloader_train)["data"].shape[1] == 3  # the image, and two structures from before
    shape = trainer.dataloader_train.data_loader._data.load_case("lldm_aug/syn_0000")
    assert shape[2].shape == shape[1].shape[1:]
    trainer.perform_actual_validation()
    assert record(trainer)["previous_stage"]

    times = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    prepare("700", quick.pool, CASCADE, fold=0, name="modes")
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == times
    monkeypatch.setenv("LLDM_AUG_SEED", "9")
    run(LOWRES)
    prepare("700", quick.pool, CASCADE, fold=0, name="modes")  # another model
    assert all(path.stat().st_mtime_ns > times[path] for path in made.iterdir())
    (made / "syn_0003.b2nd").unlink()
    with pytest.raises(DatasetError, match=r"1 synthetic cases lack.*syn_0003.*lldm-aug nnunet prepare"):
        make(0, CASCADE).get_dataloaders()


WORKERS = """
import multiprocessing, sys
sys.path[:0] = [{tests!r}]
if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    from nnunet_project import keys, make
    from nnunet_integration.loader import is_synthetic
    trainer = make()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    before = keys(trainer.dataloader_train, 4)
    trainer.current_epoch = 1
    trainer.on_train_epoch_start()
    keys(trainer.dataloader_train, 24)
    after = keys(trainer.dataloader_train, 4)
    held_out = keys(trainer.dataloader_val, 2)
    trainer.dataloader_train._finish()
    trainer.dataloader_val._finish()
    print("SHARES", *(sum(map(is_synthetic, drawn)) / len(drawn) for drawn in (before, after, held_out)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_either_kind_blend_and_follow_the_schedule(quick: Project, tmp_path: Path, method: str) -> None:
    prepare("700", quick.pool, CONFIGURATION, fold=0, name="modes")
    tests = Path(__file__).resolve().parent
    script = tmp_path / "workers.py"
    script.write_text(WORKERS.format(tests=str(tests), method=method))
    variables = {"PYTHONPATH": str(tests.parent), "nnUNet_n_proc_DA": "2", "LLDM_AUG_RATIO": "pretrain 1"}
    result = subprocess.run(
        [sys.executable, script], env={**os.environ, **variables}, capture_output=True, text=True, timeout=300
    )
    assert "SHARES 1.0 0.0 0.0" in result.stdout, result.stderr


def on_one_of_two(rank: int, port: int) -> None:
    """What nnU-Net's ``run_ddp`` does, on CPUs: gloo for NCCL, and no device for the network."""
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    names = nnUNetTrainer.initialize.__globals__
    names["DDP"] = lambda network, device_ids: torch.nn.parallel.DistributedDataParallel(network)
    trainer = make(initialize=False)
    trainer.device, trainer.grad_scaler = torch.device("cpu"), None
    trainer.initialize()
    trainer.run_training()
    first = keys(trainer.dataloader_train, 6)
    both: list = [None, None]
    torch.distributed.all_gather_object(both, first)
    assert trainer.batch_size == 1
    assert both[0] != both[1]
    trainer.perform_actual_validation()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_share_a_training(quick: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.run.run_training import find_free_network_port

    monkeypatch.setenv("LLDM_AUG_ITERATIONS", "8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])]))
    prepare("700", quick.pool, CONFIGURATION, fold=0, name="modes")
    torch.multiprocessing.spawn(on_one_of_two, args=(find_free_network_port(),), nprocs=2)
    folder = quick.root / "nnUNet_results" / NAME / "nnUNetTrainerLLDMAug__nnUNetPlans__3d_fullres/fold_0"
    (epoch,) = json.loads((folder / "lldm_aug.json").read_text())["epochs"]
    assert epoch["cases"] == 16  # of both ranks
    assert 4 <= epoch["synthetic"] <= 12
    assert json.loads((folder / "validation/summary.json").read_text())["metric_per_case"]


@pytest.mark.slow
def test_the_best_configuration_is_found_among_blended_trainings(quick: Project) -> None:
    from nnunetv2.evaluation.find_best_configuration import find_best_configuration

    for configuration in (FLAT, CONFIGURATION):
        prepare("700", quick.pool, configuration, fold=0, name="modes")
        run(configuration).perform_actual_validation(save_probabilities=True)
    models = [
        {"plans": "nnUNetPlans", "configuration": name, "trainer": "nnUNetTrainerLLDMAug"}
        for name in (FLAT, CONFIGURATION)
    ]
    found = find_best_configuration(NAME, models, num_processes=1, folds=(0,))
    assert len(found["all_results"]) == 3  # both, and their ensemble
    assert all(np.isfinite(dice) for dice in found["all_results"].values())
