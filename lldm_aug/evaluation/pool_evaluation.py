"""``lldm-aug evaluate pool``: a pool compared with real cases that nothing has seen which made or segments it.

What is compared with what is resolved, and refused, before anything is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lldm_aug.blending.seen_cases import seen_cases
from lldm_aug.config.stages import NOT_OF_IMAGES
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, load_split
from lldm_aug.errors import DatasetError, LabelError, LeakageError, PoolError
from lldm_aug.evaluation.comparison import Comparison, compare, count_cases
from lldm_aug.evaluation.conformed_cases import Reader, View
from lldm_aug.evaluation.evaluation_report import (
    ComparisonResults,
    comparison_facts,
    markdown,
    stages_in_words,
    training_facts,
    write_results,
)
from lldm_aug.evaluation.generation import Steps
from lldm_aug.evaluation.heldout import FEWEST, find_training, mask_faults
from lldm_aug.evaluation.measure.feature_networks import NetworkChoice
from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.measure.meter import FOLDER, Meter
from lldm_aug.evaluation.measure.segmentation import open_segmenter
from lldm_aug.io.weights import check_sums
from lldm_aug.machine import Machine
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.resources import pretrained_dir
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter

POOL = "pool"
INPAINTED = (
    "outside of the region inpainted pairs are their host by design; 'lldm-aug evaluate realism' compares the lesions"
)


@dataclass(frozen=True)
class UnseenCases:
    """Real cases that nothing has seen which made the pool or segments it.

    Args:
        dataset: where they are.
        fold: the fold whose validation cases they are; None for all that were not seen.
        case_ids: their ids.
        set_aside: cases that were seen, each with what saw it.
        unusable: cases left out for their masks, with the reason.
    """

    dataset: RawDataset
    fold: Fold | None
    case_ids: tuple[str, ...]
    set_aside: dict[str, str]
    unusable: dict[str, str]


@dataclass(frozen=True)
class PoolPlan:
    """A resolved comparison.

    Args:
        pool: the pairs.
        real: the real cases.
        training: data set that the generator was trained on; None leaves the memorization check out.
        training_cases: its cases that the generator saw.
        segmenter: the evaluation segmenter; None leaves mask consistency out.
        networks: for features, at least one; the first one's serve the memorization check.
        seed: decides every random number.
        notes: what was left out or has to be known, in words.
    """

    pool: PoolDataset
    real: UnseenCases
    training: RawDataset | None
    training_cases: tuple[str, ...]
    segmenter: EvaluationSegmenter | None
    networks: tuple[NetworkChoice, ...]
    seed: int
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Steps that `run_pool` reports."""
        return count_cases(1, len(self.pool), self.real.case_ids, self.training_cases)


class PoolResults(ComparisonResults):
    """What ``results.json`` holds besides.

    Args:
        pool: its name, generator, settings, masks and number of pairs.
        generator_saw: data set and fold of each stage.
        real: data set, fold and ids of the real cases, and those set aside or left out.
        training: data set that was searched for copies, if any, and how many cases.
    """

    pool: dict[str, Any]
    generator_saw: tuple[str, ...]
    real: dict[str, Any]
    training: dict[str, Any] | None


def plan_pool(
    *,
    pool: Path,
    real: str,
    fold: Fold | None,
    training: str | None,
    segmenter: Path | None,
    networks: tuple[NetworkChoice, ...],
    seed: int,
    device: str = "cpu",
) -> PoolPlan:
    """Finds everything and fills in what was left open.

    Args:
        pool: the pool's folder.
        real: data set with real cases.
        fold: its fold whose validation cases are compared with, all of which must be unseen; None for those of all its
            cases that are.
        training: data set that the generator was trained on; None to look for it by its name.
        segmenter: folder of the evaluation segmenter; None for the embedded generator's own, if that made the pool.
        networks: for features.
        seed: decides every random number.
        device: where the segmenter runs.

    Raises:
        PoolError: when there are fewer than two pairs.
        DatasetError, LabelError: when data are missing or do not suit the pool.
        LeakageError: when too few real cases were unseen, or one of the fold was seen.
        CheckpointError: when there is no segmenter in its folder.
    """
    pairs, dataset = PoolDataset(pool), RawDataset.find(real)
    if len(pairs) < 2:
        raise PoolError(f"{len(pairs)} pair; at least 2 are needed", where=pool, fix="generate more")
    _check_kind(dataset, pairs)
    own = pretrained_dir() if check_sums(pretrained_dir()) == pairs.info.generator.hash else None
    channels = len(pairs.info.dataset_json["channel_names"])
    opened = open_segmenter(segmenter, own, pairs.schema, channels, device)
    stages = pairs.info.generator.stages
    chosen = _real_cases(dataset, fold, pairs.cases, stages + (() if opened is None else opened.stages))
    inpainted = any(case.inpainting for case in pairs.cases)
    found, cases, missing = (None, (), INPAINTED) if inpainted else _training(stages, training, dataset)
    notes = [*_real_notes(chosen), *_training_notes(stages, found, missing), *_segmenter_notes(pairs, opened)]
    return PoolPlan(pairs, chosen, found, cases, opened, networks, seed, tuple(notes))


def _check_kind(dataset: RawDataset, pool: PoolDataset) -> None:
    if not {*pool.schema.names} <= {*dataset.schema.names}:
        raise LabelError(
            f"the pool has {', '.join(pool.schema.names)}; the real cases have {', '.join(dataset.schema.names)}",
            where=dataset.folder,
            fix="give real cases with all structures of the pool",
        )
    channels = len(pool.info.dataset_json["channel_names"])
    if len(dataset.channel_names) != channels:
        raise DatasetError(f"{len(dataset.channel_names)} channels; the pool has {channels}", where=dataset.folder)


def _real_cases(
    dataset: RawDataset, fold: Fold | None, pairs: tuple[PoolCase, ...], stages: tuple[StageProvenance, ...]
) -> UnseenCases:
    asked = dataset.case_ids if fold is None else load_split(dataset, fold, write=False).val
    seen = seen_cases(dataset, asked, stages, [pair.mask for pair in pairs])
    partial = read_partial_labels(dataset)
    faults = {case: mask_faults(dataset, case, partial) for case in asked if case not in seen}
    unusable = {case: why for case, why in faults.items() if why}
    chosen = tuple(sorted(case for case, why in faults.items() if not why))
    if seen and (fold is not None or len(chosen) < FEWEST):
        case, by = next(iter(seen.items()))
        raise LeakageError(
            f"{len(seen)} of {len(asked)} real cases were seen, such as {case}: {by}",
            where=dataset.folder,
            fix="give cases that neither generator, masks nor segmenter saw, such as the fold's own with --fold",
        )
    if len(chosen) < FEWEST:
        found = f"{len(chosen)} held-out cases with valid masks; at least {FEWEST} are needed"
        raise DatasetError(found, where=dataset.folder, fix="give more with --real, or another --fold")
    return UnseenCases(dataset, fold, chosen, seen, unusable)


def _training(
    stages: tuple[StageProvenance, ...], name: str | None, real: RawDataset
) -> tuple[RawDataset | None, tuple[str, ...], str]:
    makers = [stage for stage in stages if stage.stage not in NOT_OF_IMAGES]
    if not makers:
        return None, (), "the pool does not say what its generator was trained on"
    if name is None and makers[-1].dataset == real.name:
        return find_training(makers, real.folder)
    return find_training(makers, name)


def _real_notes(real: UnseenCases) -> list[str]:
    notes = []
    if real.set_aside:
        counts = Counter(saw for why in real.set_aside.values() for saw in _who(why))
        by = ", ".join(f"{who} saw {n}" for who, n in counts.items())
        notes.append(f"{len(real.set_aside)} real cases were seen and not compared with ({by})")
    if real.unusable:
        listed = "; ".join(f"{case} ({why})" for case, why in real.unusable.items())
        notes.append(f"real cases left out for their masks: {listed}")
    return notes


def _who(leaks: str) -> list[str]:
    return [leak.partition(" saw ")[0] for leak in leaks.split("; ")]


def _training_notes(stages: Sequence[StageProvenance], training: RawDataset | None, missing: str) -> list[str]:
    notes = [f"copies were not looked for: {missing}"] if missing else []
    seen = {stage.dataset for stage in stages if stage.stage not in NOT_OF_IMAGES}
    if training is not None and (others := sorted(seen - {training.name})):
        notes.append(f"copies of cases of {', '.join(others)}, which the generator saw too, were not looked for")
    return notes


def _segmenter_notes(pool: PoolDataset, segmenter: EvaluationSegmenter | None) -> list[str]:
    if segmenter is None:
        return ["mask consistency and what a segmenter finds of vessels were not measured: no --segmenter"]
    quality_filter = pool.info.settings.get("quality_filter")
    if isinstance(quality_filter, dict) and quality_filter.get("segmenter") == segmenter.hash:
        return [
            "the segmenter also chose the pairs of this pool (--filter): its Dice on them is too high. Give another"
        ]
    return []


def run_pool(
    plan: PoolPlan,
    out: Path,
    features: Sequence[FeatureCache],
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> Comparison:
    """Measures everything; what was found is kept in the report's folder, so that a second call goes on.

    Args:
        plan: what to do.
        out: the report's folder.
        features: the plan's feature networks.
        progress: is told the number of steps done and what is going on.
    """
    pool, real = plan.pool, plan.real
    view = View.common(pool, real.dataset, real.case_ids)
    reader = Reader(view, pool.schema, real.dataset, training=plan.training)
    meter = Meter(pool.schema, features, plan.segmenter, out / FOLDER)
    pools, training = {POOL: pool}, plan.training_cases
    return compare(reader, meter, pools, real.case_ids, (), training, plan.seed, Steps(progress))


def report_pool(plan: PoolPlan, comparison: Comparison, out: Path, machine: Machine) -> PoolResults:
    """Makes figures of measurements and writes all files."""
    pool, real = plan.pool, plan.real
    results = PoolResults(
        **comparison_facts(comparison, (), plan.notes, out, machine),
        pool={
            "name": pool.folder.resolve().name,
            "generator": pool.info.generator.hash,
            "settings": pool.info.settings_hash,
            "masks": pool.info.mask_source,
            "pairs": len(pool),
        },
        generator_saw=stages_in_words(pool.info.generator.stages),
        real={
            "dataset": real.dataset.name,
            "fold": real.fold,
            "cases": list(real.case_ids),
            "set_aside": real.set_aside,
            "unusable": real.unusable,
        },
        training=training_facts(plan.training, plan.training_cases),
    )
    introduction = (
        f"{len(pool)} pairs of `{results.pool['name']}` ({pool.info.mask_source} masks, generator "
        f"`{pool.info.generator.hash[:12]}`) and {len(real.case_ids)} held-out real cases of {real.dataset.name} (fold "
        f"{'-' if real.fold is None else real.fold})."
    )
    write_results(out, results, markdown("A pool beside real cases", introduction, results))
    return results
