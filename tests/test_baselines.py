"""The baselines: each trains by the one loop, resumes bit for bit, and makes pairs; the losses of the GAN."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import BASELINE_STAGES, copy_without, tiny_config
from trainings import TWO_PROCESSES, assert_equal_weights, command, weights

from lldm_aug.baselines.gan import GanBaseline, GanConfig, apart, gradient_penalty
from lldm_aug.baselines.image_network import image_of, picture_of
from lldm_aug.baselines.model import Baseline
from lldm_aug.config.load import resolved_yaml
from lldm_aug.config.schema import ObjectiveSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.diffusion.objective import make_objective
from lldm_aug.errors import CheckpointError, ConfigError, IncompatibleResume
from lldm_aug.masks.real import RealCases, RealMasks
from lldm_aug.stages.run import train
from lldm_aug.synthesis.synthetic_case import make_case
from lldm_aug.training.order import batch_rows
from lldm_aug.training.prepared_cases import prepare_cases


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an autoencoder and all baselines, hardly trained."""
    out = tmp_path_factory.mktemp("baselines") / "x"
    for name in ("autoencoder", *BASELINE_STAGES):
        train(name, tiny_config(steps=2, checkpoint_every=1), dataset, 0, out)
    return out


@pytest.mark.parametrize("name", BASELINE_STAGES)
def test_every_baseline_knows_what_it_saw_and_leaves_a_picture(run: Path, dataset: RawDataset, name: str) -> None:
    stages = Baseline.load(run / name / "export").description.stages
    assert [s.stage for s in stages] == (["autoencoder", name] if name == "baseline_latent" else [name])
    assert all(s.cases == {c: dataset.label_hash(c) for c in load_split(dataset, 0).train} for s in stages)
    assert (run / name / "samples" / "step_00000002.png").stat().st_size > 1000


@pytest.mark.parametrize("name", BASELINE_STAGES)
def test_resume_is_bit_identical(run: Path, dataset: RawDataset, tmp_path: Path, name: str) -> None:
    again = copy_without(run, tmp_path / "x", f"{name}/export", f"{name}/checkpoints/step_00000002")
    train(name, tiny_config(steps=2, checkpoint_every=1), dataset, 0, again)
    assert_equal_weights(run / name / "export", again / name / "export")
    assert len((again / name / "stats.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("name", BASELINE_STAGES)
def test_makes_pairs_for_masks(run: Path, dataset: RawDataset, name: str) -> None:
    baseline = Baseline.load(run / name / "export")
    source = RealMasks(RealCases(dataset, load_split(dataset, 0).val))
    first, again = (make_case(baseline, source, baseline.description.sampling, 0, 1) for _ in range(2))
    other = make_case(baseline, source, baseline.description.sampling, 1, 1)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert np.array_equal(first.label, other.label)
    assert first.image.shape[1:] == first.label.shape


@pytest.mark.parametrize("name", BASELINE_STAGES)
def test_images_depend_on_the_mask(run: Path, dataset: RawDataset, name: str) -> None:
    baseline = Baseline.load(run / name / "export")
    label = torch.zeros(1, *baseline.description.shape, dtype=torch.int16)
    noise = torch.randn(1, *baseline.description.latent_shape, generator=torch.Generator().manual_seed(0))
    empty, _ = baseline.image(label, noise)
    label[:, 4:8, 4:8, 4:8] = 1
    assert not torch.equal(empty, baseline.image(label, noise)[0])


def test_other_settings_are_refused_by_name_but_those_of_others_are_free(run: Path, dataset: RawDataset) -> None:
    with pytest.raises(IncompatibleResume, match=r"train\.baseline_gan\.learning_rate"):
        train("baseline_gan", tiny_config(steps=2, checkpoint_every=1, learning_rate=1.0), dataset, 0, run)
    others = tiny_config(steps=2, checkpoint_every=1)
    changed = others.baselines.model_copy(update={"pixel": others.baselines.pixel.model_copy(update={"patch": 1})})
    assert train("baseline_gan", others.model_copy(update={"baselines": changed}), dataset, 0, run).is_dir()
    with pytest.raises(IncompatibleResume, match=r"baselines\.pixel\.patch 2 -> 1"):
        train("baseline_pixel", others.model_copy(update={"baselines": changed}), dataset, 0, run)


def test_latent_baseline_needs_an_autoencoder(dataset: RawDataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train autoencoder"):
        train("baseline_latent", tiny_config(steps=1), dataset, 0, tmp_path)


def test_a_grid_that_cannot_be_halved_is_refused(dataset: RawDataset, tmp_path: Path) -> None:
    config = tiny_config(steps=1)
    gan = config.baselines.gan.model_copy(update={"channels": (8, 8, 8, 8, 8)})
    deep = config.model_copy(update={"baselines": config.baselines.model_copy(update={"gan": gan})})
    with pytest.raises(ConfigError, match="multiple"):
        train("baseline_gan", deep, dataset, 0, tmp_path)


def test_accumulation_does_not_change_the_game(dataset: RawDataset, tmp_path: Path) -> None:
    lines = []
    for accumulate in (1, 2):
        out = tmp_path / str(accumulate)
        train("baseline_gan", tiny_config(steps=1, checkpoint_every=1, accumulate=accumulate), dataset, 0, out)
        lines.append(json.loads((out / "baseline_gan" / "stats.jsonl").read_text()))
    for figure in ("loss", "genuine", "penalty", "l1"):
        assert lines[0][figure] == pytest.approx(lines[1][figure], rel=1e-4)


def test_gradient_penalty_of_a_linear_critic() -> None:
    slope = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    points = torch.randn(6, 2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    penalty = gradient_penalty(lambda x: (x * slope).flatten(1).sum(1), points)
    assert penalty.item() == pytest.approx((slope**2).sum().item() * slope.numel() / 2, rel=1e-5)


def test_gradient_penalty_is_taken_where_it_is_asked() -> None:
    points = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    penalty = gradient_penalty(lambda x: (x**2).sum(1) / 2, points)  # the gradient is the point itself
    assert penalty.item() == pytest.approx((25 + 0.25) / 2 * 2 / 2)


def test_penalty_makes_the_critic_less_steep() -> None:
    slope = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    gradient_penalty(lambda x: x @ slope, torch.zeros(3, 2)).backward()
    assert slope.grad is not None
    assert torch.allclose(slope.grad, 2 * slope.detach())


def test_a_mean_over_all_voxels_has_norm_one_on_every_grid() -> None:
    for sides in ((2, 2, 2), (8, 4, 2)):
        penalty = gradient_penalty(lambda x: x.flatten(1).mean(1), torch.zeros(3, 1, *sides))
        assert penalty.item() == pytest.approx(1 / 2)


def test_logistic_loss_of_a_critic_that_knows_nothing_and_of_one_that_knows() -> None:
    assert apart(torch.zeros(3), torch.zeros(6)).item() == pytest.approx(2 * math.log(2))
    assert apart(torch.full((3,), 20.0), torch.full((3,), -20.0)).item() < 1e-6


def stage_of(dataset: RawDataset, folder: Path) -> GanBaseline:
    config = tiny_config()
    return GanBaseline(prepare_cases(dataset, 0, config, folder), GanConfig.of(config, "baseline_gan"))


def test_in_each_turn_only_its_part_learns(dataset: RawDataset, tmp_path: Path) -> None:
    stage = stage_of(dataset, tmp_path)
    rows = batch_rows(stage.case_ids, 0, "x", 0, 2)
    critics, maker = stage.updates
    assert {*map(id, critics.part.parameters())}.isdisjoint(map(id, maker.part.parameters()))
    loss, figures = critics.loss(rows, torch.device("cpu"))
    loss.backward()
    assert all(p.grad is None for p in maker.part.parameters())
    assert all(p.grad is not None for p in critics.part.parameters())
    assert all(map(math.isfinite, figures.values()))


def test_pictures_keep_images_and_zeros(dataset: RawDataset, tmp_path: Path) -> None:
    cases = prepare_cases(dataset, 0, tiny_config(), tmp_path)
    case = cases.load(cases.case_ids[0])
    image, logit = image_of(picture_of(case)[None])
    assert torch.equal(image[0], case.image)
    assert torch.allclose(torch.sigmoid(logit[0]), case.foreground.clamp(1e-4, 1 - 1e-4), atol=1e-5)


def test_a_baseline_that_changed_by_a_byte_is_refused(run: Path, tmp_path: Path) -> None:
    copy = copy_without(run / "baseline_gan" / "export", tmp_path / "x")
    weights = copy / "baseline.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="has changed"):
        Baseline.load(copy)


def test_runs_that_knew_no_baselines_go_on(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    """Their ``run.json`` has no such settings: those do not bind the other stages."""
    binding = json.loads((run / "autoencoder" / "run.json").read_text())["binding"]
    assert not [key for key in binding if "baseline" in key]


@pytest.mark.parametrize("kind", ["clean", "flow", "ddpm"])
def test_a_perfect_prediction_gives_back_what_is_clean(kind: str) -> None:
    objective = make_objective(ObjectiveSettings(kind=kind))
    clean, noise = torch.randn(2, 3, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([100.0, 500.0, 900.0])
    noised = objective.noised(clean, noise, times)
    told = {"clean": clean, "flow": noise - clean, "ddpm": noise}[kind]
    assert torch.allclose(objective.clean(told, noised.noisy, times), clean, atol=1e-4)
    assert objective.error(told, noised).max() == 0


@pytest.mark.parametrize("name", BASELINE_STAGES)
def test_texture_that_samples_lack_is_put_back(run: Path, name: str) -> None:
    baseline = Baseline.load(run / name / "export")
    assert len(baseline.description.texture) == 4  # one of each training case
    assert all(np.isfinite(residual_noise.deviation).all() for residual_noise in baseline.description.texture)


def test_texture_can_be_left_out(dataset: RawDataset, tmp_path: Path) -> None:
    config = tiny_config(steps=1)
    plain = config.model_copy(update={"baselines": config.baselines.model_copy(update={"texture": False})})
    assert Baseline.load(train("baseline_gan", plain, dataset, 0, tmp_path)).description.texture == ()


@pytest.mark.slow
def test_two_processes_play_the_same_game_as_one(dataset: RawDataset, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(resolved_yaml(tiny_config(steps=2, checkpoint_every=1)))
    line = command(dataset, tmp_path / "two", config, *TWO_PROCESSES)
    line[line.index("autoencoder")] = "baseline_gan"
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one = train("baseline_gan", tiny_config(steps=2, checkpoint_every=1), dataset, 0, tmp_path / "one")
    first, second = (weights(folder) for folder in (one, tmp_path / "two" / "baseline_gan" / "export"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-4, rtol=1e-3)
