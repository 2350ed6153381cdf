"""Generating for the same held-out masks with every method, and measuring all images alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.evaluation.baselines.methods import Method
from lldm_aug.evaluation.baselines.plan import FidelityBench
from lldm_aug.evaluation.conformed import ConformedCase, conform, conform_to
from lldm_aug.evaluation.faithfulness import RefereeScore
from lldm_aug.evaluation.feature_cache import CaseFeatures, FeatureCache
from lldm_aug.evaluation.fidelity.judgement import Judge
from lldm_aug.evaluation.heldout import refuse_seen
from lldm_aug.evaluation.timed_pool import TimedPool
from lldm_aug.models.image_model import ImageDescription, ImageModel
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.synthesis.plan import MaskRequest, describe_pool

PAIRS = "pairs"
FEATURES = "features"
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class MeasuredSet:
    """What was measured of a set of images, one entry a case.

    Args:
        features: for distances.
        scores: what the referee found; empty without one.
    """

    features: list[CaseFeatures]
    scores: list[RefereeScore]


@dataclass(frozen=True)
class Row:
    """What was measured of one method.

    Args:
        method: which.
        images: its images, one a mask.
        seconds: that each took.
        weights: how many make an image.
        description: of the trained model.
        identity: its hash.
    """

    method: Method
    images: MeasuredSet
    seconds: list[float]
    weights: int
    description: ImageDescription
    identity: str


@dataclass(frozen=True)
class Compared:
    """What the tables are made of.

    Args:
        rows: one for each method.
        real: the held-out cases whose masks were used, in the images' order.
        others: the other held-out cases.
    """

    rows: list[Row]
    real: MeasuredSet
    others: MeasuredSet


def source_of(pair: PoolCase) -> str:
    """The held-out case that lent its mask."""
    assert pair.mask.source_case is not None  # masks of kind real come from a case
    return pair.mask.source_case


def count_steps(plan: FidelityBench) -> int:
    """Steps that `compare` reports."""
    return 2 * len(plan.heldout.masks) * len(plan.methods) + len(plan.heldout.masks) + len(plan.heldout.others)


@dataclass
class Comparison:
    """One comparison in a report's folder, which keeps pairs and features, so that a second one goes on.

    Args:
        plan: what to do.
        out: the report's folder.
        run: folder with the trained methods.
        cache: features.
        device: where methods run.
        progress: is told the number of steps done and what is going on.
    """

    plan: FidelityBench
    out: Path
    run: Path
    cache: FeatureCache
    device: str
    progress: Progress

    def __post_init__(self) -> None:
        schema, referee = self.plan.heldout.dataset.schema, self.plan.referee
        self._judge = None if referee is None else Judge(referee, schema, self.out / FEATURES)
        self._done = 0

    def compare(self) -> Compared:
        """Generates what is missing, then measures.

        Raises:
            IncompatibleResume: when the folder was begun with other settings.
            LeakageError: when a method has seen a held-out case.
        """
        rows = [self._row(method) for method in self.plan.methods]
        view = rows[0].description
        masks = [source_of(entry) for entry in PoolDataset(self.out / PAIRS / rows[0].method.name).cases]
        return Compared(rows, self._real(masks, view), self._real(self.plan.heldout.others, view))

    def _row(self, method: Method) -> Row:
        model, weights = method.load(self.run)
        refuse_seen(self.plan.heldout, model.description.stages, method.name, self.run)
        pool = self._generate(method.name, model.to(self.device))
        images = self._measure(self._images(pool, model.description), f"measuring: {method.name}")
        return Row(method, images, pool.seconds, weights, model.description, model.hash)

    def _images(self, pool: TimedPool, view: ImageDescription) -> Iterator[ConformedCase]:
        pairs = PoolDataset(pool.folder)
        for entry in pairs.cases:
            real = conform(self.plan.heldout.dataset.load(source_of(entry)), view)
            yield conform_to(pairs.read(entry), real, view)

    def _generate(self, name: str, model: ImageModel) -> TimedPool:
        plan, description, n = self.plan, model.description, len(self.plan.heldout.masks)
        masks = MaskRequest("real", plan.heldout.dataset, plan.heldout.split)
        info = describe_pool(description, model.hash, masks, plan.seed, description.sampling)
        pool = TimedPool(self.out / PAIRS / name, self.out / PAIRS / f"{name}.jsonl", info, plan.seed, n)
        before = self._done
        pool.fill(model, masks.source(description), lambda made: self.progress(before + made, f"generating: {name}"))
        self._done = before + n
        return pool

    def _real(self, case_ids: Iterable[str], view: ImageDescription) -> MeasuredSet:
        dataset = self.plan.heldout.dataset
        return self._measure((conform(dataset.load(case_id), view) for case_id in case_ids), "held-out cases")

    def _measure(self, cases: Iterable[ConformedCase], note: str) -> MeasuredSet:
        found = MeasuredSet([], [])
        for case in cases:
            found.features.append(self.cache.of_case(case))
            if self._judge is not None:
                found.scores.append(self._judge.judge(case).score)
            self._tell(note)
        return found

    def _tell(self, note: str) -> None:
        self._done += 1
        self.progress(self._done, note)
