"""What a study is to do: resolved, and refused where a generator knows what it must not, before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from lldm_aug.config.section import Triple
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, LabelFraction, Split, load_split, patients_of
from lldm_aug.errors import ConfigError, DatasetError, LabelError
from lldm_aug.evaluation.heldout import check_kind
from lldm_aug.evaluation.utility.cell import AUTOENCODED, SYN, Arm, Cell
from lldm_aug.evaluation.utility.leakage_check import LeakageCheck
from lldm_aug.io.weights import check_sums
from lldm_aug.models.config_file import generator_folder
from lldm_aug.models.description import Description
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.record import Record

MONAI = "monai"


class StudySettings(Record):
    """How networks are trained and scored; whatever changes a figure is here.

    Args:
        steps: optimisation steps, the same in every arm.
        batch_size: samples a step.
        patch: sides in voxels of what networks see at once, in training and when they predict. A network with instance
            normalisation becomes another one where it sees more or less than in training.
        spacing_mm: voxel size that cases are resampled to.
        width: features of a network's first level.
        learning_rate: peak, of AdamW with warm-up and cosine decay.
        tolerance_mm: of the normalised surface Dice.
        precision: of the training.
        label_fraction_seed: decides which cases are labelled.
        pairs: cases of a pool that the study makes itself.
        engine: what trains: ``monai``, or ``nnunet`` with its own plans, which then decide spacing, patch, batch,
            widths and optimisation.
        configuration: of nnU-Net's plans.
        plans: their name.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 2
    patch: Triple = (96, 96, 64)
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    width: PositiveInt = 32
    learning_rate: PositiveFloat = 1e-3
    tolerance_mm: PositiveFloat
    precision: Literal["no", "bf16"] = "no"
    label_fraction_seed: Annotated[int, Field(ge=0)] = 0
    pairs: PositiveInt = 200
    engine: Literal["monai", "nnunet"] = "monai"
    configuration: str = "3d_fullres"
    plans: str = "nnUNetPlans"

    @property
    def stage(self) -> SegmenterTrainSettings:
        """The same as settings of the training loop."""
        return SegmenterTrainSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            patch=self.patch,
            learning_rate=self.learning_rate,
            warmup_steps=min(50, self.steps // 10),
            ema_decay=0.99,
            checkpoint_every=500,
        )


NOTHING = "no generator"


@dataclass(frozen=True)
class Source:
    """What the cells of one fold and label fraction are made of.

    Args:
        split: the fold.
        labelled: the labelled training cases.
        pool: folder of the pool, if an arm needs one; made by the study where ``generator`` is to make it.
        generator: folder of the generator, if one was given.
        saw: what pool and autoencoder have seen, by the kind of arm.
    """

    split: Split
    labelled: tuple[str, ...]
    pool: Path | None
    generator: Path | None
    saw: Mapping[str, str]

    def seen_by(self, arm: Arm) -> str:
        """What the generator behind an arm has seen."""
        if not arm.generated:
            return NOTHING
        return self.saw[AUTOENCODED if arm.kind == AUTOENCODED else SYN]


@dataclass(frozen=True)
class StudyPlan:
    """A resolved study.

    Args:
        out: its folder.
        dataset: the real cases.
        held_out: what networks are scored on; None for the folds' validation cases.
        settings: what all cells share.
        networks: names of networks.
        arms: the real one first.
        label_fractions: of labelled cases.
        folds: numbers, or ``all``.
        seeds: repetitions.
        sources: by fold and label fraction.
        notes: what was left out, in words.
    """

    out: Path
    dataset: RawDataset
    held_out: RawDataset | None
    settings: StudySettings
    networks: tuple[str, ...]
    arms: tuple[Arm, ...]
    label_fractions: tuple[float, ...]
    folds: tuple[Fold, ...]
    seeds: tuple[int, ...]
    sources: Mapping[tuple[Fold, float], Source]
    notes: tuple[str, ...]

    def cells(self) -> Iterator[Cell]:
        """All cells; a study that is stopped early has compared all arms for the first seeds."""
        for seed, fold, label_fraction, network, arm in product(
            self.seeds, self.folds, self.label_fractions, self.networks, self.arms
        ):
            yield Cell(network, arm, label_fraction, fold, seed)

    def part(self, num_parts: int, part_id: int) -> tuple[Cell, ...]:
        """The cells of one of several parts, in the order of `cells`.

        Arms that are compared stay together, so that no machine has one arm alone, and the cells of each network, whose
        costs differ most, are dealt out evenly.

        Raises:
            ConfigError: for a part that is not in 0..num_parts - 1.
        """
        if not 0 <= part_id < num_parts:
            raise ConfigError(f"part {part_id} is not in 0..{num_parts - 1}", where="--part-id")
        groups = list(product(self.networks, self.seeds, self.folds, self.label_fractions))
        mine = {*groups[part_id::num_parts]}
        return tuple(cell for cell in self.cells() if (cell.network, cell.seed, cell.fold, cell.label_fraction) in mine)

    def judged(self, fold: Fold) -> tuple[RawDataset, tuple[str, ...]]:
        """The data set and cases that the networks of a fold are scored on."""
        if self.held_out is not None:
            return self.held_out, self.held_out.case_ids
        return self.dataset, self.sources[fold, self.label_fractions[0]].split.val


def plan_study(
    *,
    out: Path,
    dataset: RawDataset,
    held_out: RawDataset | None,
    settings: StudySettings,
    networks: Sequence[str],
    arms: tuple[Arm, ...],
    label_fractions: Sequence[float],
    folds: Sequence[Fold],
    seeds: Sequence[int],
    pool: str | None,
    generator: str | None,
) -> StudyPlan:
    """Finds pools and generators, and checks what they know.

    Args:
        out: the study's folder.
        dataset: the real cases.
        held_out: another data set to score on.
        settings: what all cells share.
        networks: names of networks, see `check_engine`.
        arms: see `parse_arms`.
        label_fractions: of labelled cases.
        folds: numbers, or ``all``.
        seeds: repetitions.
        pool: folder of a pool; ``{fold}`` and ``{label_fraction}`` in it stand for those of a cell.
        generator: likewise, of a generator or run. It makes the pool where none is given.

    Raises:
        ConfigError: for an arm without the generator or pool that it needs.
        DatasetError, LabelError: when data are missing or do not fit each other.
        LeakageError: see `LeakageCheck.check_training` and `LeakageCheck.check`.
    """
    if held_out is not None and held_out.schema != dataset.schema:
        raise LabelError(f"has other structures than {dataset.name}", where=held_out.folder)
    partial = read_partial_labels(dataset)
    hashes = {case_id: dataset.label_hash(case_id) for case_id in dataset.case_ids}
    sources = {}
    for fold, label_fraction in product(folds, label_fractions):
        split = load_split(dataset, fold)
        if held_out is None and not split.val:
            raise DatasetError(f"fold {fold} has no validation cases", fix="give --held-out, or another --folds")
        labelled = LabelFraction(fraction=label_fraction, seed=settings.label_fraction_seed).labelled(
            split.train, patients_of(dataset)
        )
        whole = tuple(case for case in labelled if case not in partial)
        if not whole:
            raise DatasetError(
                f"no case of label fraction {label_fraction:g} of fold {fold} is completely annotated",
                where=dataset.folder,
            )
        leakage_check = LeakageCheck(dataset, split, label_fraction, labelled, held_out, hashes)
        leakage_check.check_training()
        folders = _place(pool, leakage_check), _place(generator, leakage_check)
        sources[fold, label_fraction] = _source(leakage_check, whole, arms, *folders, out)
    notes = (f"not trained on, for want of some structures: {', '.join(sorted(partial))}",) if partial else ()
    return StudyPlan(
        *(out, dataset, held_out, settings, tuple(networks), arms, tuple(label_fractions), tuple(folds), tuple(seeds)),
        sources,
        notes,
    )


def _place(template: str | None, leakage_check: LeakageCheck) -> Path | None:
    """A folder whose name may depend on the fold and the label fraction."""
    return (
        None
        if template is None
        else Path(template.format(fold=leakage_check.split.fold, label_fraction=f"{leakage_check.label_fraction:g}"))
    )


def _source(
    leakage_check: LeakageCheck,
    labelled: tuple[str, ...],
    arms: tuple[Arm, ...],
    pool: Path | None,
    generator: Path | None,
    out: Path,
) -> Source:
    saw = {}
    folder = None if generator is None else generator_folder(generator)
    if folder is not None:
        description = Description.read(folder)
        check_kind(leakage_check.dataset, description)
        provenance = GeneratorProvenance(hash=check_sums(folder), stages=description.stages)
        first = tuple(stage for stage in description.stages if stage.stage == "autoencoder")
        saw[AUTOENCODED] = leakage_check.check(provenance.model_copy(update={"stages": first}), ())
    if any(arm.synthetic for arm in arms):
        if pool is None and folder is None:
            raise ConfigError("arms with synthetic cases need a pool", fix="give --pool or --generator")
        if pool is None:
            saw[SYN] = leakage_check.check(provenance, ())
            pool = out / "pools" / f"fold_{leakage_check.split.fold}_labels_{leakage_check.label_fraction:g}"
        else:
            saw[SYN] = _check_pool(leakage_check, pool)
    if folder is None and any(arm.kind == AUTOENCODED for arm in arms):
        raise ConfigError(f"arm {AUTOENCODED!r} needs a generator", fix="give --generator")
    return Source(leakage_check.split, labelled, pool, folder, saw)


def _check_pool(leakage_check: LeakageCheck, folder: Path) -> str:
    pool = PoolDataset(folder)
    if pool.schema != leakage_check.dataset.schema:
        names = ", ".join(leakage_check.dataset.schema.names)
        raise LabelError(f"the pool has other structures than {names}", where=folder)
    return leakage_check.check(pool.info.generator, (case.mask for case in pool.cases))
