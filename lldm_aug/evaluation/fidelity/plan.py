"""What is to be compared with what: resolved, and refused, before anything is computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.blending.seen_cases import seen_cases
from lldm_aug.config.stages import NOT_OF_IMAGES
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, load_split
from lldm_aug.errors import DatasetError, LabelError, LeakageError, PoolError
from lldm_aug.evaluation.heldout import FEWEST, mask_faults
from lldm_aug.evaluation.networks import NetworkChoice
from lldm_aug.evaluation.training_cases import find_training
from lldm_aug.io.weights import check_sums
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.resources import pretrained_dir
from lldm_aug.synthesis.referee import Referee, check_referee, load_referee

INPAINTED = (
    "outside of the region inpainted pairs are their host by design; 'lldm-aug evaluate realism' compares the lesions"
)


@dataclass(frozen=True)
class RealCases:
    """Real cases that nothing has seen which made the pool or judges it.

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
class FidelityPlan:
    """A resolved comparison.

    Args:
        pool: the pairs.
        real: the real cases.
        training: data set that the generator was trained on; None leaves the search for copies out.
        training_cases: its cases that the generator saw.
        referee: who segments; None leaves faithfulness and vessels out.
        networks: for features, at least one; the first one's serve the search for copies.
        seed: decides every random number.
        notes: what was left out or has to be known, in words.
    """

    pool: PoolDataset
    real: RealCases
    training: RawDataset | None
    training_cases: tuple[str, ...]
    referee: Referee | None
    networks: tuple[NetworkChoice, ...]
    seed: int
    notes: tuple[str, ...]

    @property
    def by_design(self) -> dict[str, str]:
        """The pairs that were made for the mask of a training case, or one made from it, with that case's id."""
        if self.training is None:
            return {}
        known = {*self.training_cases}
        masks = {pair.case_id: pair.mask for pair in self.pool.cases}
        return {
            pair: mask.source_case
            for pair, mask in masks.items()
            if mask.source_case in known and mask.source_dataset == self.training.name
        }


def plan_fidelity(
    *,
    pool: Path,
    real: str,
    fold: Fold | None,
    training: str | None,
    referee: Path | None,
    networks: tuple[NetworkChoice, ...],
    seed: int,
    device: str = "cpu",
) -> FidelityPlan:
    """Finds everything and fills in what was left open.

    Args:
        pool: the pool's folder.
        real: data set with real cases.
        fold: its fold whose validation cases are compared with, all of which must be unseen; None for those of all its
            cases that are.
        training: data set that the generator was trained on; None to look for it by its name.
        referee: segmenter; None for the embedded generator's own, if that made the pool.
        networks: for features.
        seed: decides every random number.
        device: where the referee runs.

    Raises:
        PoolError: when there are fewer than two pairs.
        DatasetError, LabelError: when data are missing or do not suit the pool.
        LeakageError: when too few real cases were unseen, or one of the fold was seen.
        CheckpointError: when there is no referee in its folder.
    """
    pairs, dataset = PoolDataset(pool), RawDataset.find(real)
    if len(pairs) < 2:
        raise PoolError(f"{len(pairs)} pair; at least 2 are needed", where=pool, fix="generate more")
    _check_kind(dataset, pairs)
    judge = _open_referee(pairs, referee, device)
    stages = pairs.info.generator.stages
    chosen = _real_cases(dataset, fold, pairs.cases, stages + (() if judge is None else judge.stages))
    inpainted = any(case.inpainting for case in pairs.cases)
    found, cases, missing = (None, (), INPAINTED) if inpainted else _training(stages, training, dataset)
    plan = FidelityPlan(pairs, chosen, found, cases, judge, networks, seed, ())
    notes = [*_real_notes(chosen), *_training_notes(plan, missing), *_referee_notes(plan)]
    return FidelityPlan(pairs, chosen, found, cases, judge, networks, seed, tuple(notes))


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


def _open_referee(pool: PoolDataset, folder: Path | None, device: str) -> Referee | None:
    if folder is None and check_sums(pretrained_dir()) == pool.info.generator.hash:
        folder = pretrained_dir()
    if folder is None:
        return None
    referee = load_referee(folder, device)
    check_referee(referee, pool.schema, len(pool.info.dataset_json["channel_names"]))
    return referee


def _real_cases(
    dataset: RawDataset, fold: Fold | None, pairs: tuple[PoolCase, ...], stages: tuple[StageProvenance, ...]
) -> RealCases:
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
            fix="give cases that neither generator, masks nor referee saw, such as the fold's own with --fold",
        )
    if len(chosen) < FEWEST:
        found = f"{len(chosen)} held-out cases with valid masks; at least {FEWEST} are needed"
        raise DatasetError(found, where=dataset.folder, fix="give more with --real, or another --fold")
    return RealCases(dataset, fold, chosen, seen, unusable)


def _training(
    stages: tuple[StageProvenance, ...], name: str | None, real: RawDataset
) -> tuple[RawDataset | None, tuple[str, ...], str]:
    makers = [stage for stage in stages if stage.stage not in NOT_OF_IMAGES]
    if not makers:
        return None, (), "the pool does not say what its generator was trained on"
    if name is None and makers[-1].dataset == real.name:
        return find_training(makers, real.folder)
    return find_training(makers, name)


def _real_notes(real: RealCases) -> list[str]:
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


def _training_notes(plan: FidelityPlan, missing: str) -> list[str]:
    notes = [f"copies were not looked for: {missing}"] if missing else []
    stages = [s for s in plan.pool.info.generator.stages if s.stage not in NOT_OF_IMAGES]
    if plan.training is not None and (others := sorted({s.dataset for s in stages} - {plan.training.name})):
        notes.append(f"copies of cases of {', '.join(others)}, which the generator saw too, were not looked for")
    return notes


def _referee_notes(plan: FidelityPlan) -> list[str]:
    if plan.referee is None:
        return ["mask faithfulness and what the referee sees of vessels were not measured: no --referee"]
    gate = plan.pool.info.settings.get("gate")
    if isinstance(gate, dict) and gate.get("referee") == plan.referee.hash:
        return ["the referee also chose the pairs of this pool (--gate): its Dice on them is too high. Give another"]
    return []
