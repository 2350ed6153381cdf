"""Closed forms of the loop's parts: order, average, learning rate, weights, and what happens to NaN."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from lldm_aug.config.stages import AutoencoderTrainSettings, StageSettings
from lldm_aug.errors import TrainingError
from lldm_aug.labels import HBP
from lldm_aug.models.condition import encode_mask
from lldm_aug.training.checkpoint import Ema
from lldm_aug.training.loop import learning_rate, train_stage
from lldm_aug.training.losses import latent_occupancy, structure_weights
from lldm_aug.training.order import Row, batch_rows, kept_structures


def test_every_case_comes_once_before_any_comes_again() -> None:
    ids = tuple("abcdefg")
    seen = [row.case_id for step in range(7) for row in batch_rows(ids, 0, "s", step, 3)]
    for epoch in range(3):
        assert sorted(seen[epoch * 7 : epoch * 7 + 7]) == list(ids)
    assert seen[:7] != seen[7:14]


def test_every_other_row_is_unlabelled_and_both_halves_come_whole() -> None:
    labelled, others = tuple("ab"), tuple("uvwxyz")
    for batch_size in (1, 3, 4):
        rows = [row for step in range(24) for row in batch_rows(labelled, 0, "s", step, batch_size, others)]
        halves = [[row.case_id for row in rows][start::2] for start in (0, 1)]
        for half, names in zip(halves, (labelled, others), strict=True):
            rounds = [half[i : i + len(names)] for i in range(0, len(half) - len(names) + 1, len(names))]
            assert all(sorted(names_of_round) == list(names) for names_of_round in rounds)
    assert [row.number for row in batch_rows(labelled, 0, "s", 5, 3, others)] == [0, 1, 2]


def test_average_of_a_constant_weight_is_that_weight_and_converges_to_a_new_one() -> None:
    module = nn.Linear(1, 1)
    ema = Ema(module, 0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
        ema.average["weight"].zero_()
    for step in range(100, 110):
        ema.update(module, step)
    assert ema.average["weight"].item() == pytest.approx(1 - 0.9**10, rel=1e-5)


def test_average_is_lent_and_taken_back() -> None:
    module = nn.Linear(1, 1)
    ema = Ema(module, 0.9)
    ema.average["weight"].fill_(7)
    own = module.weight.item()
    with ema.applied_to(module):
        assert module.weight.item() == 7
    assert module.weight.item() == own


def test_learning_rate_warms_up_and_decays() -> None:
    settings = StageSettings(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[-1] < 0.02


def two_boxes() -> torch.Tensor:
    """A condition with a large liver and a small tumour."""
    label = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    label[:, 2:12, 2:12, 2:12] = 1
    label[:, 4:6, 4:6, 4:6] = 4
    return encode_mask(label, HBP)


def test_structures_share_the_extra_weight_alike() -> None:
    condition = two_boxes()
    weights = structure_weights(condition, 0.5)
    assert weights.mean().item() == pytest.approx(1.0)
    extra = weights - weights.min()
    tumour = extra[0, 0][condition[0, 3] > 0].sum()
    liver = extra[0, 0][condition[0, 0] > 0].sum()
    assert tumour.item() == pytest.approx(liver.item(), rel=1e-4)
    assert torch.equal(structure_weights(condition, 0.0), torch.ones(1, 1, 16, 16, 16))


def test_a_sample_without_structures_is_weighted_evenly() -> None:
    unlabelled = torch.zeros(1, 4, 16, 16, 16)
    weights = structure_weights(torch.cat([two_boxes(), unlabelled]), 0.5)
    assert torch.equal(weights[1:], torch.ones(1, 1, 16, 16, 16))
    assert torch.equal(weights[:1], structure_weights(two_boxes(), 0.5))


def test_occupancy_keeps_volume() -> None:
    occupancy = latent_occupancy(two_boxes(), (4, 4, 2))
    assert occupancy.shape == (1, 4, 4, 4, 8)
    assert occupancy[0, 3].sum().item() * 32 == pytest.approx(8)


class Broken:
    """A stage whose loss is never finite from some step on."""

    name = "broken"
    settings = StageSettings(steps=50, batch_size=1, checkpoint_every=2, log_every=1)
    case_ids = ("a",)

    def __init__(self, broken: range) -> None:
        self.module = nn.Linear(1, 1)
        self.broken = broken

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        factor = float("nan") if rows[0].step in self.broken else 1.0
        return model(torch.ones(1, 1)).square().sum() * factor, {}

    def preview(self, path: Path) -> None: ...

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True)


def test_lasting_nan_stops_and_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    stage = Broken(range(4, 50))
    with pytest.raises(TrainingError, match="10 steps in a row"):
        train_stage(stage, Accelerator(cpu=True), tmp_path, 0, lambda step, figures: None)
    assert torch.isfinite(stage.module.weight).all()
    assert (tmp_path / "checkpoints" / "step_00000012").is_dir()


def test_a_single_nan_is_skipped(tmp_path: Path) -> None:
    stage = Broken(range(4, 6))
    train_stage(stage, Accelerator(cpu=True), tmp_path, 0, lambda step, figures: None)
    assert torch.isfinite(stage.module.weight).all()
    assert (tmp_path / "export").is_dir()


def test_as_much_is_withheld_as_asked_for_and_always_the_same() -> None:
    settings = AutoencoderTrainSettings(drop_mask=0.2, drop_structure=0.1)
    rows = [Row("a", step, number) for step in range(500) for number in range(4)]
    kept = kept_structures(3, settings, 0, "s", rows)
    assert kept.shape == (2000, 3)
    assert (~kept).all(1).float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert kept.float().mean().item() == pytest.approx(0.8 * 0.9, abs=0.03)
    assert torch.equal(kept, kept_structures(3, settings, 0, "s", rows))
    everything = AutoencoderTrainSettings(drop_mask=0, drop_structure=0)
    assert kept_structures(3, everything, 0, "s", rows).all()
