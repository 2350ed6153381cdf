"""The exported weights of the third stage are those that scored best, whatever interrupts the training."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from tiny import copy_without, tiny_config, tiny_generator
from torch import nn

from lldm_aug.config.schema import Config
from lldm_aug.config.stages import StageSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import IncompatibleResume
from lldm_aug.io.atomic import read_json_lines
from lldm_aug.metrics.dice import shown_dice
from lldm_aug.models.generator import Generator
from lldm_aug.models.segmenter import Segmenter
from lldm_aug.stages.run import train
from lldm_aug.training.choice import BestWeights, Score
from lldm_aug.training.loop import train_stage
from lldm_aug.training.mask_consistency import MaskConsistency
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, prepare_cases

SCORES = {2: 0.3, 4: 0.9, 6: 0.5, 8: 0.9, 10: 0.7}


class Scored:
    """A stage whose only weight is the number of steps taken, scored by a table."""

    name = "scored"
    settings = StageSettings(
        steps=10, batch_size=1, checkpoint_every=3, log_every=1, warmup_steps=0, ema_decay=0, learning_rate=1e-3
    )
    case_ids = ("a",)
    score_every = 2

    def __init__(self, table: Callable[[int], float | None], stop_at: int = 0) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.table, self.stop_at, self.steps, self.exported = table, stop_at, 0, 0.0

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        self.steps = rows[0].step + 1
        if self.steps == self.stop_at:
            raise KeyboardInterrupt  # as a process that is killed: no farewell
        return -model(torch.ones(1, 1)).sum(), {}

    def score(self) -> Score | None:
        value = self.table(self.steps)
        return None if value is None else Score(value=value, figures={"weight": self.module.weight.item()})

    def preview(self, path: Path) -> None: ...

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.exported = self.module.weight.item()


def go(stage: Scored, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    train_stage(stage, Accelerator(cpu=True), folder, 0, lambda step, figures: None)


def weight_at(folder: Path, step: int) -> float:
    return next(line["weight"] for line in read_json_lines(folder / "scores.jsonl") if line["step"] == step)


def test_the_first_of_the_best_is_exported_and_outlives_pruning(tmp_path: Path) -> None:
    stage = Scored(SCORES.get)
    go(stage, tmp_path)
    assert stage.exported == weight_at(tmp_path, 4) != weight_at(tmp_path, 10)
    assert [line["score"] for line in read_json_lines(tmp_path / "scores.jsonl")] == list(SCORES.values())
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["best", "step_00000009", "step_00000010"]


@pytest.mark.parametrize("killed_at", [2, 5, 7, 9])
def test_a_killed_run_chooses_the_same_weights(tmp_path: Path, killed_at: int) -> None:
    whole = Scored(SCORES.get)
    go(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        go(Scored(SCORES.get, killed_at), tmp_path / "killed")
    again = Scored(SCORES.get)
    go(again, tmp_path / "killed")
    assert again.exported == whole.exported
    assert read_json_lines(tmp_path / "killed" / "scores.jsonl") == read_json_lines(tmp_path / "whole" / "scores.jsonl")


def test_without_a_score_the_last_weights_are_exported(tmp_path: Path) -> None:
    stage = Scored(lambda step: None)
    go(stage, tmp_path)
    assert stage.exported == stage.module.weight.item() > 0
    assert not (tmp_path / "scores.jsonl").exists()
    assert not (tmp_path / "checkpoints" / "best").exists()


def test_what_an_attempt_that_got_nowhere_left_is_forgotten(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(Scored(lambda step: 5.0, 3), tmp_path)  # scored at 2, no checkpoint before 3
    assert BestWeights(tmp_path).chosen() is not None
    stage = Scored(SCORES.get)
    go(stage, tmp_path)
    assert stage.exported == weight_at(tmp_path, 4)


def test_damaged_best_weights_are_passed_over(tmp_path: Path) -> None:
    best = BestWeights(tmp_path)
    best.offer(1, Score(value=0.9, figures={}), {"w": torch.ones(1)})
    (tmp_path / "checkpoints" / "best" / "ema.safetensors").write_bytes(b"")
    assert best.chosen() is None
    best.offer(2, Score(value=0.1, figures={}), {"w": torch.full((1,), 2.0)})
    average = {"w": torch.zeros(1)}
    best.fill(average)
    assert average["w"].item() == 2


def scored_config() -> Config:
    """The tiny settings, scoring two masks every two steps."""
    tree = tiny_config().model_dump(mode="json")
    tree["train"]["controlnet"] |= {"score_every": 2, "score_cases": 2}
    tree["segmenter"] |= {"filters": 8, "blocks": [1, 1], "norm_groups": 8}
    few = {"steps": 40, "checkpoint_every": 100, "learning_rate": 1e-2, "warmup_steps": 5}
    tree["train"]["segmenter"] |= few
    return Config.model_validate(tree)


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a segmenter."""
    out = tmp_path_factory.mktemp("runs") / "x"
    train("segmenter", scored_config(), dataset, 0, out)
    return tiny_generator(dataset, out, scored_config())


def test_the_generator_holds_the_weights_of_the_step_it_names(run: Path) -> None:
    lines = read_json_lines(run / "controlnet" / "scores.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    chosen = json.loads((run / "controlnet" / "export" / "stage.json").read_text())["facts"]["chosen"]
    assert chosen["score"]["value"] == max(line["score"] for line in lines)
    best = load_file(run / "controlnet" / "checkpoints" / "best" / "ema.safetensors")
    control = load_file(run / "generator" / "controlnet.safetensors")
    assert all(torch.equal(tensor, best[f"control.{name}"]) for name, tensor in control.items())


def test_each_structure_is_scored_with_and_without_the_mask(run: Path) -> None:
    line = read_json_lines(run / "controlnet" / "scores.jsonl")[-1]
    real = Segmenter.load(run / "segmenter" / "export").description.heldout_dice
    for name in ("liver",):
        assert line[f"relative.{name}"] == pytest.approx(line[f"dice.{name}"] / real[name].mean)
        assert 0 <= line[f"with_mask.{name}"] <= 1


def test_a_generator_carries_its_segmenter(run: Path) -> None:
    carried, own = (Segmenter.load(run / name) for name in ("generator/segmenter", "segmenter/export"))
    assert carried.hash == own.hash
    assert Generator.load(run / "generator").hash


def test_the_card_names_weights_and_segmenter(run: Path) -> None:
    card = (run / "generator" / "README.md").read_text()
    chosen = BestWeights(run / "controlnet").chosen()
    assert chosen is not None
    assert f"Weights: after step {chosen.step}, mask consistency {chosen.score.value:.3f}." in card
    found = Segmenter.load(run / "segmenter" / "export").description.heldout_dice
    assert f"liver {found['liver'].mean:.3f}" in card
    assert "pools/x --filter\n" in card


def test_a_resumed_run_chooses_the_same(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    missing = ("generator", "controlnet/export", "controlnet/checkpoints/step_00000006")
    again = copy_without(run, tmp_path / "x", *missing)
    train("controlnet", scored_config(), dataset, 0, again)
    for name in ("generator/SHA256SUMS", "controlnet/checkpoints/best/SHA256SUMS"):
        assert (again / name).read_bytes() == (run / name).read_bytes()
    first, second = (read_json_lines(folder / "controlnet" / "scores.jsonl") for folder in (run, again))
    assert first == second


def test_another_segmenter_cannot_go_on_choosing(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    again = copy_without(run, tmp_path / "x", "segmenter")
    with pytest.raises(IncompatibleResume, match="segmenter"):
        train("controlnet", scored_config(), dataset, 0, again)


def test_a_segmenter_of_other_cases_cannot_choose(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    """It may have been trained on this fold's validation cases."""
    again = copy_without(run, tmp_path / "x", "controlnet", "segmenter")
    train("segmenter", scored_config(), dataset, 1, tmp_path / "y")
    shutil.copytree(tmp_path / "y" / "segmenter", again / "segmenter")
    with pytest.raises(IncompatibleResume, match="not this fold's training cases"):
        train("controlnet", scored_config(), dataset, 0, again)


class Constant:
    """A segmenter that sees the same everywhere."""

    def __init__(self, value: int) -> None:
        self.value = value

    def segment(self, scaled: torch.Tensor) -> torch.Tensor:
        return torch.full((len(scaled), *scaled.shape[2:]), self.value, dtype=torch.int16)


@pytest.fixture(scope="module")
def cases(run: Path, dataset: RawDataset) -> CaseSet:
    return prepare_cases(dataset, 0, scored_config(), run / "cases")


def test_scores_are_relative_to_real_images(run: Path, dataset: RawDataset, cases: CaseSet) -> None:
    generator = Generator.load(run / "generator")
    half, full = (
        MaskConsistency(dataset, cases, 0, 2, Constant(1), {"liver": real, "hcc": 0.01}).score(generator)
        for real in (0.5, 1.0)
    )
    assert half is not None
    assert full is not None
    assert half.value == pytest.approx(2 * full.value) == pytest.approx(2 * full.figures["dice.liver"])
    assert half.figures["dice.hcc"] == 0
    assert "relative.hcc" not in half.figures  # the segmenter does not find it in real images either


def test_nothing_to_go_by_gives_no_score(run: Path, dataset: RawDataset, cases: CaseSet) -> None:
    judge = MaskConsistency(dataset, cases, 0, 2, Constant(0), {})
    assert judge.score(Generator.load(run / "generator")) is None


def test_false_alarms_do_not_count_as_overlap(run: Path, dataset: RawDataset, cases: CaseSet) -> None:
    """A structure that a mask lacks has no Dice there, as in the real images that scores are relative to."""
    judge = MaskConsistency(dataset, cases, 0, 2, Constant(2), {"hcc": 1.0})
    with_hcc, other = judge.masks
    judge.__dict__["masks"] = (with_hcc, other.clamp(max=1))
    found = judge.score(Generator.load(run / "generator"))
    assert found is not None
    assert found.value == pytest.approx(shown_dice(np.full(with_hcc.shape, 2), with_hcc.numpy(), cases.schema)["hcc"])


def test_scored_masks_are_new_but_made_of_training_cases(dataset: RawDataset, cases: CaseSet) -> None:
    judge = MaskConsistency(dataset, cases, 0, 2, Constant(0), {"liver": 1.0})
    own = [cases.load_label(case_id) for case_id in cases.case_ids]
    assert {*cases.case_ids} == {*load_split(dataset, 0).train}
    for mask in judge.masks:
        assert mask.shape == own[0].shape
        assert not any(torch.equal(mask, label) for label in own)
        assert {*mask.unique().tolist()} == {0, 1, 2}
