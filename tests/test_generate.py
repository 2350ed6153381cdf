"""Pools from a trained generator: one seed, one case, whatever the parts, processes and restarts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pools import content
from tiny import tiny_config, tiny_generator
from volumes import write_dataset

from lldm_aug.anatomy.measures import component_sizes
from lldm_aug.cli import main
from lldm_aug.data.conform import Frame
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction, load_split
from lldm_aug.errors import CheckpointError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import read_image, read_label, write_nifti
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.fitting import moved
from lldm_aug.masks.validity import mask_problems
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.pool.manifest import read_cases, read_info
from lldm_aug.pool.pool_dataset import verify_pool
from lldm_aug.synthesis.generation_plan import request_masks
from lldm_aug.synthesis.synthetic_case import make_case
from lldm_aug.volume import Volume


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of fold 0, hardly trained."""
    return tiny_generator(dataset, tmp_path_factory.mktemp("runs") / "x", tiny_config(steps=2))


def arguments(run: Path, dataset: RawDataset, out: Path, n: int, *more: str) -> list[str]:
    """Of ``lldm-aug generate``."""
    base = ["generate", "--model", str(run), "--data", str(dataset.folder), "--fold", "0"]
    return [*base, "--n", str(n), "--out", str(out), *more]


def generate(run: Path, dataset: RawDataset, out: Path, n: int, *more: str) -> None:
    """Runs the command in this process; it must succeed."""
    result = CliRunner().invoke(main, arguments(run, dataset, out, n, *more))
    assert result.exit_code == 0, result.output


def refused(run: Path, dataset: RawDataset, out: Path, n: int, *more: str) -> str:
    """Runs the command, which must fail; returns its message."""
    result = CliRunner().invoke(main, arguments(run, dataset, out, n, *more))
    assert result.exit_code == 1
    return result.stderr


@pytest.fixture(scope="module")
def pool(run: Path, dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four deformed cases."""
    out = tmp_path_factory.mktemp("pools") / "p"
    generate(run, dataset, out, 4)
    return out


def test_pool_is_whole(pool: Path) -> None:
    assert verify_pool(pool) == 4
    assert (pool / "mosaic.png").stat().st_size > 1000


def test_cases_look_like_the_real_data(pool: Path, dataset: RawDataset) -> None:
    real = dataset.load(dataset.case_ids[0])
    for case_id in read_cases(pool):
        image = read_image(pool / "images" / f"{case_id}_0000.nii.gz")
        label = read_label(pool / "labels" / f"{case_id}.nii.gz")
        assert image.grid.matches(real.grid)
        assert label.grid.matches(real.grid)
        dataset.schema.check(label.data, case_id)
        assert {1, 2} <= set(np.unique(label.data))


def test_manifest_says_where_masks_come_from(pool: Path, dataset: RawDataset) -> None:
    info = read_info(pool)
    assert (info.mask_dataset, info.fold) == (dataset.name, 0)
    for case in read_cases(pool).values():
        assert case.mask.kind == "deformed"
        assert case.mask.source_case in load_split(dataset, 0).train
        assert case.mask.source_sha256 == dataset.label_hash(case.mask.source_case or "")


def test_running_again_changes_nothing(pool: Path, run: Path, dataset: RawDataset) -> None:
    before = (pool / "manifest.jsonl").read_bytes()
    generate(run, dataset, pool, 4)
    assert (pool / "manifest.jsonl").read_bytes() == before


def test_parts_make_the_same_cases(pool: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    for part in ("1", "0"):
        generate(run, dataset, tmp_path / "p", 4, "--num-parts", "2", "--part-id", part)
    assert content(tmp_path / "p") == content(pool)


def test_a_larger_n_adds_cases(pool: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    generate(run, dataset, tmp_path / "p", 2)
    generate(run, dataset, tmp_path / "p", 4)
    assert content(tmp_path / "p") == content(pool)


def test_another_seed_makes_other_cases(pool: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    generate(run, dataset, tmp_path / "p", 2, "--seed", "1")
    assert not set(content(tmp_path / "p").values()) & set(content(pool).values())


def test_lost_file_is_named(pool: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    shutil.copytree(pool, tmp_path / "p")
    next((tmp_path / "p" / "images").iterdir()).unlink()
    message = refused(run, dataset, tmp_path / "p", 4)
    assert "missing" in message
    assert "delete the line" in message


@pytest.mark.parametrize("change", [("--seed", "9"), ("--masks", "real"), ("--steps", "3")])
def test_other_settings_are_refused(pool: Path, run: Path, dataset: RawDataset, change: tuple[str, str]) -> None:
    assert "other settings" in refused(run, dataset, pool, 5, *change)


def test_more_steps_than_the_solver_can_take_are_refused(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, arguments(run, dataset, tmp_path / "p", 1, "--steps", "501"))
    assert result.exit_code == 2
    assert "unipc" in result.stderr


def test_image_that_is_not_finite_is_refused(run: Path, dataset: RawDataset) -> None:
    generator = Generator.load(run / "generator")
    with torch.no_grad():
        generator.network.control.embedding.layers[0].bias.fill_(torch.nan)
    source = request_masks(generator.description, "real", str(dataset.folder), 0).source(generator.description)
    with pytest.raises(CheckpointError, match="NaN"):
        make_case(generator, source, generator.description.sampling, 0, 0)


def test_an_image_is_made_for_the_mask_that_is_written(run: Path, tmp_path: Path) -> None:
    """On a grid finer than the generator's the mask that is written is what that grid shows of the one drawn: whole."""
    folder = write_dataset(tmp_path / "Dataset996_Fine", ("a",), labels={"background": 0, "liver": 1, "portal_vein": 2})
    mask = np.zeros((80, 70, 60), np.uint8)
    mask[10:70, 18:56, 20:56] = 1
    for x in range(14, 66):  # a thin vein
        mask[x, 20 + x // 2 : 24 + x // 2, 15 + x // 2 : 19 + x // 2] = 2
    write_nifti(folder / "labelsTr" / "a.nii.gz", Volume(mask, Grid.regular(mask.shape, (0.8, 0.8, 1.2))))
    generator = Generator.load(run / "generator")
    labels = {"background": 0, "liver": 1, "portal_vein": 2}
    description = generator.description.model_copy(
        update={"dataset_json": {**generator.description.dataset_json, "labels": labels}}
    )
    seen: list[np.ndarray] = []

    @dataclass(frozen=True)
    class Spy:
        description: Description
        hash: str = generator.hash

        def image(self, label: torch.Tensor, *args: object) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(label[0].numpy())
            return generator.image(label, *args)

    dataset = RawDataset(folder)
    source = make_mask_source("real", dataset.schema, dataset=dataset, cases=("a",), grid=description.grid)
    case = make_case(Spy(description), source, description.sampling, 0, 0)
    frame = Frame.around(Volume(mask, case.grid), description.shape, description.spacing_mm)
    assert np.array_equal(case.label, moved(seen[0], frame.grid, case.grid))
    assert [len(component_sizes(case.label == value)) for value in (1, 2)] == [1, 1]
    assert mask_problems(case.label, dataset.schema, mask) == []


def test_dry_run_writes_nothing(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    generate(run, dataset, tmp_path / "p", 4, "--dry-run")
    assert not (tmp_path / "p").exists()


def test_procedural_masks_need_the_hbp_structures(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    command = ["generate", "--model", str(run), "--masks", "procedural", "--n", "1", "--out", str(tmp_path / "p")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "portal_vein" in result.stderr


def test_procedural_masks_take_no_data(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    command = ["generate", "--model", str(run), "--masks", "procedural", "--n", "1", "--out", str(tmp_path / "p")]
    for option, value in (("--data", str(dataset.folder)), ("--label-fraction", "0.5")):
        result = CliRunner().invoke(main, [*command, option, value])
        assert result.exit_code == 2
        assert f"{option}: masks of kind 'procedural' come from no data set" in " ".join(result.stderr.split())


def test_masks_of_a_share_of_the_cases(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    generate(run, dataset, tmp_path / "p", 4, "--label-fraction", "0.5")
    chosen = LabelFraction(fraction=0.5).labelled(load_split(dataset, 0).train)
    assert {*read_info(tmp_path / "p").settings["mask_cases"]} == {*chosen}
    assert {case.mask.source_case for case in read_cases(tmp_path / "p").values()} <= {*chosen}


def subprocess_command(args: list[str], *launcher: str) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-m", *(launcher or ("lldm_aug",)), *args]


@pytest.mark.slow
def test_two_processes_and_one_thread_make_the_same_bytes(
    pool: Path, run: Path, dataset: RawDataset, tmp_path: Path
) -> None:
    # Accelerate's --cpu starts one process; torchrun behind --multi_gpu starts two, on CPUs if the variable says so.
    options = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0")
    launcher = ("accelerate.commands.launch", *options, "-m", "lldm_aug")
    command = subprocess_command(arguments(run, dataset, tmp_path / "p", 4), *launcher)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "4 cases, 2 of them new here" in done.stdout  # the other process made the other two
    assert content(tmp_path / "p") == content(pool)


@pytest.mark.slow
def test_generate_survives_sigkill(pool: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    out = tmp_path / "p"
    for lines in (1, 3):
        process = subprocess.Popen(subprocess_command(arguments(run, dataset, out, 8)), stderr=subprocess.DEVNULL)
        for _ in range(600):
            if len(read_cases(out)) >= lines or process.poll() is not None:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out / "pool.json").exists():
            verify_pool(out)
    generate(run, dataset, out, 8)
    assert verify_pool(out) == 8
    assert content(pool).items() <= content(out).items()
