"""The leakage guard of inpainting in memory: which samples may be hosts, and what their generator may have seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lldm_aug.blending.leakage import Leak, check_leakage
from lldm_aug.data.patients import read_patients, relatives
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, LeakageError
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance


@dataclass(frozen=True)
class Hosts:
    """The cases that may be hosts or donors.

    Args:
        provenance: what the generator was trained on.
        training: ids of the training cases; None where any case may be one that is not for validation.
        validation: ids of the validation cases.
    """

    provenance: GeneratorProvenance
    training: frozenset[str] | None = None
    validation: frozenset[str] = frozenset()

    def admit(self, case_id: str) -> None:
        """Refuses a case that is not for training.

        Raises:
            LeakageError: for a validation case, or one that is not among the training cases.
            ConfigError: when a case must be for training, and has no name.
        """
        if self.training is not None and not case_id:
            fix = "give item=, the case's id, or wrap the data set by over(data, names)"
            raise ConfigError("a sample names no case, so that nobody knows whether it is for training", fix=fix)
        if case_id in self.validation:
            raise LeakageError("a validation case would be edited", where=case_id, fix="edit training cases only")
        if self.training is not None and case_id not in self.training:
            fix = "edit training cases only, or name all of them by training="
            raise LeakageError("it is not among the training cases", where=case_id, fix=fix)

    def check(
        self, validation: Mapping[str, str | None] | Iterable[str], dataset: RawDataset | str, *, allow: bool = False
    ) -> tuple[Hosts, tuple[Leak, ...]]:
        """Refuses a generator, or training cases, that have seen validation cases or their patients.

        Args:
            validation: ids of the validation cases, with the SHA-256 of their mask files where these are at hand.
            dataset: the data set of all of these cases. Given as such, and not by its name, it tells the hashes and
                the patients (``patients.json``).
            allow: warn instead.

        Returns:
            The hosts from now on, and the leaks that were allowed.

        Raises:
            LeakageError: names each stage and its cases.
        """
        known = dict(validation) if isinstance(validation, Mapping) else dict.fromkeys(validation)
        held_out, others = frozenset(known), {}
        if isinstance(dataset, RawDataset):
            others = relatives(known, read_patients(dataset.case_ids, dataset.folder))
            ours = {*dataset.case_ids}
            hashes = {case: dataset.label_hash(case) if case in ours else None for case in (*known, *others)}
            known = {**hashes, **{case: sha256 for case, sha256 in known.items() if sha256 is not None}}
        name = dataset.name if isinstance(dataset, RawDataset) else dataset
        origins = [MaskOrigin(kind="edited", source_dataset=name, source_case=case) for case in self.training or ()]
        leaks = check_leakage(self.provenance, origins, dataset=name, validation=known, relatives=others, allow=allow)
        return replace(self, validation=frozenset() if allow else held_out | frozenset(others)), leaks
