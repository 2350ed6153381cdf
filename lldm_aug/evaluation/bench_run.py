"""Generating for held-out masks, and measuring: real, synthetic and pure-noise images one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case
from lldm_aug.evaluation.bench_learned import LearnedPairs, run_learned
from lldm_aug.evaluation.bench_plan import BenchPlan
from lldm_aug.evaluation.conformed import conform, conform_to
from lldm_aug.evaluation.control import NoiseLatents
from lldm_aug.evaluation.feature_cache import CaseFeatures, FeatureCache
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.evaluation.heldout import refuse_seen
from lldm_aug.evaluation.measurement import Fingerprint, Measurement, Meter
from lldm_aug.evaluation.timed_pool import TimedPool
from lldm_aug.models.generator import Generator
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.synthesis.case import make_case
from lldm_aug.synthesis.plan import describe_pool
from lldm_aug.synthesis.referee import Referee, check_referee, load_referee

POOL = "pool"
FEATURES = "features"
SECONDS_FILE = "seconds.jsonl"
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Measured:
    """Everything that figures are made of; the first three lists are parallel, one entry a mask.

    Args:
        real: the held-out cases whose masks were used (set A).
        synthetic: images generated for those masks.
        control: images decoded from pure noise for those masks.
        others: features of the other held-out cases (set B).
        training: fingerprints of the training cases; empty if they are not at hand.
        seconds: that each generated pair took.
        learned: pairs with learned masks, if asked for.
    """

    real: list[Measurement]
    synthetic: list[Measurement]
    control: list[Measurement]
    others: list[CaseFeatures]
    training: list[Fingerprint]
    seconds: list[float]
    learned: LearnedPairs | None = None


def count_steps(plan: BenchPlan) -> int:
    """Steps that `run_bench` reports."""
    sets = 2 if plan.learned is None else 4
    return sets * len(plan.heldout.masks) + len(plan.heldout.others) + len(plan.training_cases)


def open_referee(plan: BenchPlan, device: str) -> Referee | None:
    """The plan's referee, if it has one.

    Raises:
        CheckpointError: when there is no segmenter in its folder.
        LabelError: when it finds other structures than the generator makes, or takes other channels.
        LeakageError: when it has seen a held-out case.
    """
    if plan.referee is None:
        return None
    referee = load_referee(plan.referee, device)
    check_referee(referee, plan.description.labels, plan.description.num_channels)
    refuse_seen(plan.heldout, referee.stages, "the referee", plan.referee)
    return referee


def run_bench(
    plan: BenchPlan,
    out: Path,
    generator: Generator,
    network: FeatureNetwork,
    referee: Referee | None,
    progress: Progress = lambda done, note: None,
) -> Measured:
    """Generates what is missing in the report folder's pool, then measures.

    Args:
        plan: what to do.
        out: the report folder; it keeps pool and features, so that a second call goes on.
        generator: the plan's, on its device.
        network: for features.
        referee: who segments; None leaves faithfulness out.
        progress: is told the number of steps done and what is going on.

    Raises:
        IncompatibleResume: when the folder was begun with other settings.
    """
    n = len(plan.heldout.masks)
    pool = _pool(plan, out, generator.hash)
    pool.fill(generator, plan.masks.source(plan.description), lambda number: progress(number, "generating"))
    meter = Meter(plan.description.labels, FeatureCache(out / FEATURES, network), referee)
    sets = _measure_sets(plan, out, generator, meter, progress)
    others, training = [], []
    for number, case_id in enumerate(plan.heldout.others, 2 * n + 1):
        others.append(meter.features(conform(plan.heldout.dataset.load(case_id), plan.description)))
        progress(number, "other held-out cases")
    for number, case_id in enumerate(plan.training_cases, 2 * n + len(others) + 1):
        assert plan.training is not None
        training.append(meter.fingerprint(conform(plan.training.load(case_id), plan.description)))
        progress(number, "training cases")
    done, learned = 2 * n + len(others) + len(training), None
    if plan.learned is not None:
        learned = run_learned(
            plan, plan.learned, out, generator, meter, lambda number, note: progress(done + number, note)
        )
    return Measured(*sets, others, training, pool.seconds, learned)


def _pool(plan: BenchPlan, out: Path, generator_hash: str) -> TimedPool:
    info = describe_pool(plan.description, generator_hash, plan.masks, plan.seed, plan.sampling)
    return TimedPool(out / POOL, out / SECONDS_FILE, info, plan.seed, len(plan.heldout.masks))


def _measure_sets(
    plan: BenchPlan, out: Path, generator: Generator, meter: Meter, progress: Progress
) -> tuple[list[Measurement], list[Measurement], list[Measurement]]:
    real, synthetic, control = [], [], []
    n, pool, noise = len(plan.heldout.masks), PoolDataset(out / POOL), NoiseLatents.of(generator)
    for number, case in enumerate(pool.cases, n + 1):
        truth = conform(plan.heldout.dataset.load(_source(case)), plan.description)
        real.append(meter.measure(truth))
        synthetic.append(meter.measure(conform_to(pool.read(case), truth, plan.description)))
        control.append(meter.measure(conform_to(_control_case(plan, noise, case), truth, plan.description)))
        progress(number, "measuring")
    return real, synthetic, control


def _control_case(plan: BenchPlan, noise: NoiseLatents, case: PoolCase) -> Case:
    made = make_case(noise, plan.masks.source(plan.description), plan.sampling, plan.seed, case.index)
    return Case(case.case_id, made.image.astype(np.float32), made.label, made.grid)


def _source(case: PoolCase) -> str:
    assert case.mask.source_case is not None  # masks of kind real come from a case
    return case.mask.source_case
