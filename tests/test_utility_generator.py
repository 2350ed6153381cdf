"""The few-label protocol from end to end: a generator of a share, its pool, and the arms that are made of both."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import tiny_config

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction, load_split
from lldm_aug.errors import DatasetError
from lldm_aug.evaluation.utility.data import autoencoded
from lldm_aug.io.weights import check_sums
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.synthesis.generation_plan import request_masks

HALF = LabelFraction(fraction=0.5, images="fold")


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that learnt images of the whole fold and labels of half of it."""
    out = tmp_path_factory.mktemp("few_0.5") / "fold_0"
    for name in GENERATOR_STAGES:
        train(name, tiny_config(steps=1), dataset, 0, out, labelled=HALF)
    return out


def test_it_says_what_it_saw_and_draws_masks_from_its_share(dataset: RawDataset, run: Path) -> None:
    description, split = Description.read(run / "generator"), load_split(dataset, 0)
    labelled = HALF.labelled(split.train)
    seen = [(len(stage.cases), tuple(stage.labelled)) for stage in description.stages]
    assert seen == [(len(split.train), labelled)] * 3
    assert request_masks(description, "deformed", str(dataset.folder), 0).cases == labelled


def test_masks_of_a_share_of_a_share(dataset: RawDataset, run: Path) -> None:
    description, train = Description.read(run / "generator"), load_split(dataset, 0).train
    fewer = LabelFraction(fraction=0.25)
    assert request_masks(description, "real", str(dataset.folder), 0, labelled=fewer).cases == fewer.labelled(train)
    chosen = {seed: LabelFraction(fraction=0.25, seed=seed) for seed in range(20)}
    outside = next(
        label_fraction
        for label_fraction in chosen.values()
        if not {*label_fraction.labelled(train)} & {*HALF.labelled(train)}
    )
    with pytest.raises(DatasetError, match="labels the generator was trained on"):
        request_masks(description, "real", str(dataset.folder), 0, labelled=outside)


def test_arms_of_a_generator(dataset: RawDataset, run: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "utility", "--data", str(dataset.folder), "--out", str(tmp_path), "--networks", "unet"]
    arguments += ["--generator", str(run.parent / "fold_{fold}"), "--pairs", "2", "--arms", "syn,autoencoded"]
    arguments += ["--ratios", "0.5", "--folds", "0", "--seeds", "0", "--steps", "1", "--width", "4"]
    arguments += ["--patch", "16", "16", "16", "--spacing", "4", "4", "6"]
    result = CliRunner().invoke(main, [*arguments, "--label-fractions", "0.5"])
    assert result.exit_code == 0, result.output
    pool = PoolDataset(tmp_path / "pools" / "fold_0_labels_0.5")
    assert len(pool) == 2
    assert {case.mask.source_case for case in pool.cases} <= {*HALF.labelled(load_split(dataset, 0).train)}
    with (tmp_path / "arms.csv").open() as stream:
        arms = {row["arm"]: row for row in csv.DictReader(stream)}
    rows = {name: row["its generator saw"] for name, row in arms.items()}
    assert rows["autoencoded"] == "autoencoder: 2 labelled training cases, images of 2 more"
    assert rows["syn@0.5"].endswith("controlnet: 2 labelled training cases, images of 2 more")
    assert re.fullmatch(rf"deformed from [12] cases? of {dataset.name}", arms["syn@0.5"]["masks"])
    identity = check_sums(run / "generator")[:12]
    assert arms["syn@0.5"]["generator"] == arms["autoencoded"]["generator"] == identity
    few = CliRunner().invoke(main, [*arguments, "--label-fractions", "0.2"])
    assert "outside of the label fraction of 0.2" in " ".join(few.output.split())


def test_an_autoencoded_case_keeps_its_place_and_range(dataset: RawDataset, run: Path) -> None:
    generator, case = Generator.load(run / "generator"), dataset.load("case_00")
    again = autoencoded(generator, case)
    assert again.grid.matches(case.grid)
    assert again.image.shape == case.image.shape
    assert case.image.min() <= again.image.min() <= again.image.max() <= case.image.max()
    tissue = case.image != 0
    assert np.corrcoef(again.image[tissue], case.image[tissue])[0, 1] > 0.5  # not the same, but the same case
