"""What is to be told apart: real cases and pools of inpainted pairs, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.anatomy.declaration import Anatomy, read_anatomy
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import patients_of
from lldm_aug.errors import ConfigError, DatasetError, PoolError
from lldm_aug.evaluation.measure.feature_networks import NetworkChoice
from lldm_aug.evaluation.realism import STEPS
from lldm_aug.pool.manifest import PoolCase
from lldm_aug.pool.pool_dataset import PoolDataset

FEWEST_PATIENTS = 4


@dataclass(frozen=True)
class RealismPlan:
    """A resolved test.

    Args:
        real: the real cases, hosts of the pairs among them.
        pools: by name.
        anatomy: which structures are lesions.
        patients: whom each case shows.
        networks: for features.
        seed: decides every random number.
        steps: of each network's training.
    """

    real: RawDataset
    pools: Mapping[str, PoolDataset]
    anatomy: Anatomy
    patients: Mapping[str, str]
    networks: tuple[NetworkChoice, ...]
    seed: int
    steps: int

    def patient(self, case_id: str) -> str:
        """Whom a real case shows: itself unless ``patients.json`` says more."""
        return self.patients.get(case_id, case_id)

    @property
    def all_patients(self) -> tuple[str, ...]:
        """The patients of all real cases."""
        return tuple(sorted({self.patient(case_id) for case_id in self.real.case_ids}))


def plan_realism(
    real: str, pools: tuple[Path, ...], networks: tuple[NetworkChoice, ...], seed: int, steps: int = STEPS
) -> RealismPlan:
    """Finds everything and refuses what cannot be compared.

    Args:
        real: data set with the hosts.
        pools: folders of pools of inpainted pairs.
        networks: for features.
        seed: decides every random number.
        steps: of each network's training.

    Raises:
        DatasetError, LabelError, ConfigError: when data are missing, no lesion is named, or patients are too few.
        PoolError: when a pool has pairs that are not inpainted, or whose host is not in the data set.
    """
    dataset = RawDataset.find(real)
    named = {folder.resolve().name: PoolDataset(folder) for folder in pools}
    if len(named) < len(pools):
        raise ConfigError("two pools have one name", where="--pool", fix="rename one of the folders")
    for pool in named.values():
        for case in pool.cases:
            _check_host(case, dataset, pool)
    plan = RealismPlan(dataset, named, read_anatomy(dataset), patients_of(dataset), networks, seed, steps)
    if (count := len(plan.all_patients)) < FEWEST_PATIENTS:
        found = f"{count} patients; at least {FEWEST_PATIENTS} are needed, half of them for training"
        raise DatasetError(found, where=dataset.folder, fix="give more real cases")
    return plan


def host_of(case: PoolCase) -> str:
    """Id of the real case that a pair is painted in."""
    assert case.mask.source_case is not None  # checked by `plan_realism`
    return case.mask.source_case


def _check_host(case: PoolCase, dataset: RawDataset, pool: PoolDataset) -> None:
    if case.inpainting is None:
        fix = "make the pool with 'lldm-aug generate --inpaint'"
        raise PoolError(f"{case.case_id} is not inpainted: it has no host", where=pool.folder, fix=fix)
    host = case.mask.source_case
    if host not in dataset.case_ids or dataset.label_hash(host) != case.mask.source_sha256:
        fix = "give with --real the data set that the hosts were taken from"
        raise PoolError(f"{case.case_id} has a host, {host}, that {dataset.name} lacks", where=pool.folder, fix=fix)
