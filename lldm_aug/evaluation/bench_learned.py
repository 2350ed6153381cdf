"""Pairs of which the mask is new as well: no real image is their counterpart, but much can be said about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lldm_aug.data.conform import Frame
from lldm_aug.data.raw import RawDataset
from lldm_aug.evaluation.bench_plan import BenchPlan
from lldm_aug.evaluation.conformed import conform
from lldm_aug.evaluation.mask_copies import CopyReport, nearest_neighbours
from lldm_aug.evaluation.measurement import Measurement, Meter
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.pool.writer import open_pool
from lldm_aug.synthesis.case import make_case
from lldm_aug.synthesis.generate import generate, missing_indices
from lldm_aug.synthesis.plan import MaskRequest, describe_pool

POOL = "pool_learned"


@dataclass(frozen=True)
class LearnedPairs:
    """What was measured on pairs with learned masks.

    Args:
        cases: the images.
        rejected: masks drawn and refused for their anatomy.
        copies: distances of masks to the nearest training mask; None without training data.
    """

    cases: list[Measurement]
    rejected: int
    copies: CopyReport | None


def run_learned(
    plan: BenchPlan,
    masks: MaskRequest,
    out: Path,
    generator: Generator,
    meter: Meter,
    progress: Callable[[int, str], None],
) -> LearnedPairs:
    """Generates as many pairs with learned masks as there are held-out masks, and measures them.

    Args:
        plan: what to do.
        masks: the request for learned masks.
        out: the report folder.
        generator: the plan's, on its device.
        meter: takes the figures.
        progress: is told how many of these pairs are done.
    """
    pool, n = out / POOL, len(plan.heldout.masks)
    open_pool(pool, describe_pool(plan.description, generator.hash, masks, plan.seed, plan.sampling))
    todo = missing_indices(pool, n, plan.seed)
    make = partial(make_case, generator, masks.source(plan.description), plan.sampling)
    made = generate(make, pool, plan.seed, todo)
    for number, _ in enumerate(made, n - len(todo) + 1):
        progress(number, "generating for learned masks")
    measured, labels, pairs = [], [], PoolDataset(pool)
    for number, entry in enumerate(pairs.cases, n + 1):
        case = conform(pairs.read(entry), plan.description)
        measured.append(meter.measure(case))
        labels.append(case.label.astype(np.uint8))
        progress(number, "measuring pairs with learned masks")
    return LearnedPairs(measured, sum(entry.mask.rejected for entry in pairs.cases), _mask_copies(plan, labels))


def _mask_copies(plan: BenchPlan, candidates: list[np.ndarray]) -> CopyReport | None:
    if plan.training is None:
        return None
    heldout = _labels(plan.heldout.dataset, (*plan.heldout.masks, *plan.heldout.others), plan.description)
    training = _labels(plan.training, plan.training_cases, plan.description)
    description = plan.description
    return nearest_neighbours(candidates, heldout, training, description.spacing_mm, description.labels)


def _labels(dataset: RawDataset, case_ids: Iterable[str], description: Description) -> list[np.ndarray]:
    """Masks on the generator's grid; a byte a voxel, for there may be hundreds."""
    found = []
    for case_id in case_ids:
        mask = dataset.load_label(case_id)
        frame = Frame.around(mask, description.shape, description.spacing_mm)
        found.append(frame.label_in(mask.data).astype(np.uint8))
    return found
