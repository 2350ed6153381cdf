"""What networks and generators know of a data set, said for each arm; and the refusal of what they must not know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lldm_aug.blending.leakage import check_leakage
from lldm_aug.blending.seen_cases import hashed, leaks_of
from lldm_aug.data.patients import relatives
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Split, patients_of
from lldm_aug.errors import LeakageError
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance


@dataclass(frozen=True)
class LeakageCheck:
    """What may be known in the cells of one fold and label fraction.

    Args:
        dataset: the real cases.
        split: the fold.
        label_fraction: how large the label fraction is.
        labelled: ids of the labelled training cases.
        held_out: another data set that networks are scored on, if any.
        hashes: SHA-256 of the mask files of the data set's cases.
    """

    dataset: RawDataset
    split: Split
    label_fraction: float
    labelled: tuple[str, ...]
    held_out: RawDataset | None
    hashes: Mapping[str, str] = field(repr=False)

    def check_training(self) -> None:
        """Makes sure that networks are not scored on what they are trained on; a fold's own cases are kept apart as is.

        Raises:
            LeakageError: when a held-out case, under any name, or another one of its patient is a training case.
        """
        if self.held_out is None:
            return
        trained = self._real("training", self.dataset, self.split.train)
        judged = self._real("scoring", self.held_out, self.held_out.case_ids)
        # Either data set's patients.json may name cases of the other.
        leaks = leaks_of(self.held_out, self.held_out.case_ids, (trained,))
        leaks = leaks or leaks_of(self.dataset, self.split.train, (judged,))
        if leaks:
            raise LeakageError(
                f"networks would be scored on their training cases, or the same patients: {'; '.join(map(str, leaks))}",
                where=self.held_out.folder,
                fix="give --held-out other patients, or score on validation cases with --folds 0-4",
            )

    def _real(self, stage: str, dataset: RawDataset, cases: tuple[str, ...]) -> StageProvenance:
        known = {case: dataset.label_hash(case) for case in cases}
        return StageProvenance(
            stage=stage, dataset=dataset.name, fold=self.split.fold, split_hash=self.split.hash, cases=known
        )

    def check(self, generator: GeneratorProvenance, origins: Iterable[MaskOrigin]) -> str:
        """Says what a generator, and the masks of its cases, have seen.

        Raises:
            LeakageError: when they have seen a case that networks are scored on, or another one of its patient, or
                labels of this data set outside of the label fraction.
        """
        origins = tuple(origins)
        self._check_validation(generator, origins)
        self._check_labels(generator, origins)
        stages: dict[str, list[str]] = defaultdict(list)
        for stage in generator.stages:
            stages[self._seen(stage)].append(stage.stage)
        return "; ".join(f"{', '.join(names)}: {seen}" for seen, names in stages.items())

    def _check_validation(self, generator: GeneratorProvenance, origins: tuple[MaskOrigin, ...]) -> None:
        others = relatives(self.split.val, patients_of(self.dataset))
        validation = {case: self.hashes.get(case) for case in (*self.split.val, *others)}
        check_leakage(generator, origins, dataset=self.dataset.name, validation=validation, relatives=others)
        if self.held_out is not None:
            cases = self.held_out.case_ids
            others = relatives(cases, patients_of(self.held_out))
            known = hashed(self.held_out, (*cases, *others))
            check_leakage(generator, origins, dataset=self.held_out.name, validation=known, relatives=others)

    def _check_labels(self, generator: GeneratorProvenance, origins: tuple[MaskOrigin, ...]) -> None:
        outside = {case for case in self.hashes if case not in self.labelled}
        masks: dict[str, dict[str, str | None]] = defaultdict(dict)
        for origin in origins:
            for dataset, case, sha256 in origin.cases:
                masks[dataset][case] = sha256
        seen = [(stage.stage, self._of(stage.labelled, stage.dataset, outside)) for stage in generator.stages]
        seen += [("masks", self._of(cases, dataset, outside)) for dataset, cases in masks.items()]
        leaks = [f"{stage} saw {', '.join(cases[:5])}" for stage, cases in seen if cases]
        if leaks:
            raise LeakageError(
                f"labels outside of the label fraction of {self.label_fraction:g} were used: {'; '.join(leaks)}",
                where=f"{self.dataset.name}, fold {self.split.fold}",
                fix="give the generator, and its masks, this --label-fraction and --label-fraction-seed",
            )

    def _of(self, cases: Mapping[str, str] | Mapping[str, str | None], dataset: str, wanted: set[str]) -> list[str]:
        """Which wanted cases of this data set are among some cases, by id or by their mask's hash."""
        hashes = {sha256 for sha256 in cases.values() if sha256 is not None}
        same = dataset == self.dataset.name
        return sorted(case for case in wanted if (same and case in cases) or self.hashes[case] in hashes)

    def _seen(self, stage: StageProvenance) -> str:
        count = len(stage.labelled)
        if stage.dataset != self.dataset.name:
            return f"{count} cases of another data set, {stage.dataset}"
        images = f", images of {len(stage.unlabelled)} more" if stage.unlabelled else ""
        return f"{count} labelled training cases{images}"
