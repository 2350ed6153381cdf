"""Measuring: pairs, held-out real cases and training cases, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.evaluation.conformed import ConformedCase, View
from lldm_aug.evaluation.feature_cache import CaseFeatures, FeatureCache
from lldm_aug.evaluation.fidelity.judgement import Judge, Judgement
from lldm_aug.evaluation.fidelity.plan import FidelityPlan
from lldm_aug.evaluation.fidelity.trees import Tree, trees
from lldm_aug.evaluation.fidelity.view import common_view
from lldm_aug.evaluation.mask_copies import mask_cells
from lldm_aug.evaluation.measurement import Fingerprint, Measurement, Meter
from lldm_aug.masks.relabelling import Relabelling

FEATURES = "features"
VOLUMES = 10
"""Volumes of each set that are kept for similarity in 3D."""
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Original:
    """What a copy of a case would share with it.

    Args:
        fingerprint: of the image.
        cells: of the mask, see `mask_cells`.
    """

    fingerprint: Fingerprint
    cells: np.ndarray


@dataclass(frozen=True)
class MeasuredCase:
    """All that is taken from one pair or one held-out real case.

    Args:
        figures: of the image, with the first network's features.
        features: of every network.
        cells: of the mask.
        trees: vessels of the mask.
        judgement: the referee's, if there is one.
    """

    figures: Measurement
    features: tuple[CaseFeatures, ...]
    cells: np.ndarray
    trees: dict[str, Tree]
    judgement: Judgement | None

    @property
    def original(self) -> Original:
        """What a copy would share with it."""
        return Original(self.figures.fingerprint, self.cells)


@dataclass(frozen=True)
class Measured:
    """Everything that figures are made of.

    Args:
        synthetic: the pool's pairs.
        real: held-out real cases.
        training: cases that the generator saw; empty if they are not at hand.
        synthetic_volumes: scaled (C, X, Y, Z) images of the first pairs.
        real_volumes: of the first real cases.
        view: in which all was compared.
    """

    synthetic: list[MeasuredCase]
    real: list[MeasuredCase]
    training: list[Original]
    synthetic_volumes: list[np.ndarray]
    real_volumes: list[np.ndarray]
    view: View


@dataclass(frozen=True)
class Reader:
    """Reads cases in the common view, masks in the pool's schema.

    Args:
        plan: what is compared.
        view: the view.
    """

    plan: FidelityPlan
    view: View

    def pair(self, number: int) -> ConformedCase:
        """A pair of the pool."""
        return self.view.conform(self.plan.pool[number])

    def real(self, case_id: str) -> ConformedCase:
        """A held-out real case."""
        return self._of(self.plan.real.dataset, case_id)

    def training(self, case_id: str) -> ConformedCase:
        """A training case."""
        assert self.plan.training is not None
        return self._of(self.plan.training, case_id)

    def _of(self, dataset: RawDataset, case_id: str) -> ConformedCase:
        case: Case = dataset.load(case_id)
        label = Relabelling(dataset.schema, self.plan.pool.schema).apply(case.label)
        return self.view.conform(replace(case, label=label))


def count_steps(plan: FidelityPlan) -> int:
    """Steps that `run_fidelity` reports."""
    return len(plan.pool) + len(plan.real.case_ids) + len(plan.training_cases)


def open_features(plan: FidelityPlan, out: Path, device: str) -> list[FeatureCache]:
    """The plan's feature networks, which keep what they compute in the report's folder.

    Raises:
        CheckpointError, ConfigError: as `NetworkChoice.open`.
    """
    return [choice.open(out / FEATURES, device) for choice in plan.networks]


def run_fidelity(
    plan: FidelityPlan, out: Path, caches: list[FeatureCache], progress: Progress = lambda done, note: None
) -> Measured:
    """Measures everything; features and the referee's findings are kept, so that a second call goes on.

    Args:
        plan: what to do.
        out: the report's folder.
        caches: the plan's feature networks.
        progress: is told the number of steps done and what is going on.
    """
    view = common_view(plan)
    schema, reader = plan.pool.schema, Reader(plan, view)
    meter = Meter(schema, caches[0], None)
    judge = None if plan.referee is None else Judge(plan.referee, schema, out / FEATURES)

    def measure(case: ConformedCase) -> MeasuredCase:
        figures = meter.measure(case)
        return MeasuredCase(
            figures=figures,
            features=(figures.features, *(cache.of_case(case) for cache in caches[1:])),
            cells=mask_cells(case.label, view.spacing_mm, schema),
            trees=trees(case.label, schema),
            judgement=None if judge is None else judge.judge(case),
        )

    measured = Measured([], [], [], [], [], view)
    for number in range(len(plan.pool)):
        case = reader.pair(number)
        measured.synthetic.append(measure(case))
        _keep(measured.synthetic_volumes, case)
        progress(number + 1, "pairs")
    for number, case_id in enumerate(plan.real.case_ids, len(plan.pool) + 1):
        case = reader.real(case_id)
        measured.real.append(measure(case))
        _keep(measured.real_volumes, case)
        progress(number, "held-out real cases")
    for number, case_id in enumerate(plan.training_cases, len(plan.pool) + len(plan.real.case_ids) + 1):
        case = reader.training(case_id)
        measured.training.append(Original(meter.fingerprint(case), mask_cells(case.label, view.spacing_mm, schema)))
        progress(number, "training cases")
    return measured


def _keep(volumes: list[np.ndarray], case: ConformedCase) -> None:
    if len(volumes) < VOLUMES:
        volumes.append(case.scaled)
