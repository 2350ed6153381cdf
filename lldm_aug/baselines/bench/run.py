"""Generating for the same held-out masks with every method, and measuring all images alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.baselines.bench.methods import Method
from lldm_aug.baselines.bench.plan import FidelityBench
from lldm_aug.evaluation.conformed import conform, conform_to
from lldm_aug.evaluation.feature_cache import CaseFeatures, FeatureCache
from lldm_aug.evaluation.features import FeatureNetwork
from lldm_aug.evaluation.heldout import refuse_seen
from lldm_aug.evaluation.slices import slices_of
from lldm_aug.evaluation.timed_pool import TimedPool
from lldm_aug.models.image_model import ImageDescription, ImageModel
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.synthesis.plan import MaskRequest, describe_pool

PAIRS = "pairs"
FEATURES = "features"
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Row:
    """What was measured of one method.

    Args:
        method: which.
        features: of its images, one entry a mask.
        seconds: that each took.
        weights: how many make an image.
        identity: hash of the trained model.
    """

    method: Method
    features: list[CaseFeatures]
    seconds: list[float]
    weights: int
    identity: str


@dataclass(frozen=True)
class Compared:
    """What the table is made of.

    Args:
        rows: one for each method.
        real: features of the held-out cases whose masks were used.
        others: features of the other held-out cases.
    """

    rows: list[Row]
    real: list[CaseFeatures]
    others: list[CaseFeatures]


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
        network: for features.
        device: where methods run.
        progress: is told the number of steps done and what is going on.
    """

    plan: FidelityBench
    out: Path
    run: Path
    network: FeatureNetwork
    device: str
    progress: Progress

    def __post_init__(self) -> None:
        self._cache = FeatureCache(self.out / FEATURES, self.network)
        self._done = 0

    def compare(self) -> Compared:
        """Generates what is missing, then measures.

        Raises:
            IncompatibleResume: when the folder was begun with other settings.
            LeakageError: when a method has seen a held-out case.
        """
        rows = [self._row(method) for method in self.plan.methods]
        view, heldout = self.plan.methods[0].load(self.run)[0].description, self.plan.heldout
        return Compared(rows, self._real(heldout.masks, view), self._real(heldout.others, view))

    def _row(self, method: Method) -> Row:
        model, weights = method.load(self.run)
        refuse_seen(self.plan.heldout, model.description.stages, method.name, self.run)
        pool = self._generate(method.name, model.to(self.device))
        features, pairs = [], PoolDataset(pool.folder)
        for entry in pairs.cases:
            assert entry.mask.source_case is not None  # masks of kind real come from a case
            real = conform(self.plan.heldout.dataset.load(entry.mask.source_case), model.description)
            features.append(self._cache.features(slices_of(conform_to(pairs.read(entry), real, model.description))))
            self._tell(f"measuring {method.name}")
        return Row(method, features, pool.seconds, weights, model.hash)

    def _generate(self, name: str, model: ImageModel) -> TimedPool:
        plan, description, n = self.plan, model.description, len(self.plan.heldout.masks)
        masks = MaskRequest("real", plan.heldout.dataset, plan.heldout.split)
        info = describe_pool(description, model.hash, masks, plan.seed, description.sampling)
        pool = TimedPool(self.out / PAIRS / name, self.out / PAIRS / f"{name}.jsonl", info, plan.seed, n)
        before = self._done
        pool.fill(model, masks.source(description), lambda made: self.progress(before + made, f"generating: {name}"))
        self._done = before + n
        return pool

    def _real(self, case_ids: Iterable[str], view: ImageDescription) -> list[CaseFeatures]:
        found = []
        for case_id in case_ids:
            found.append(self._cache.features(slices_of(conform(self.plan.heldout.dataset.load(case_id), view))))
            self._tell("held-out cases")
        return found

    def _tell(self, note: str) -> None:
        self._done += 1
        self.progress(self._done, note)
