"""Cuts the patches, trains and tests the networks, and takes features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.raw import Case
from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.errors import DatasetError
from lldm_aug.evaluation.realism.patches import Patch, PatchFormat, canonical, painted_lesions
from lldm_aug.evaluation.realism.realism_plan import RealismPlan, host_of
from lldm_aug.evaluation.realism.trial import REPEATS, Pair, Tested, Training, matched, run_trial
from lldm_aug.inpainting.real_lesions import lesion_parts
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.pool.pool_dataset import PoolDataset

CONTROL = "blurred"
"""The arm that has to be found: real lesions against the same ones, blurred."""
CACHED_HOSTS = 8

Progress = Callable[[int, str | None], None]
ByPatient = Mapping[str, list[Patch]]


@dataclass(frozen=True)
class RealismMeasured:
    """What was measured.

    Args:
        format: of the patches.
        real: patches of real lesions by patient.
        painted: patches of painted lesions by pool and patient.
        tested: what networks said, by arm: the pools and the control.
    """

    format: PatchFormat
    real: ByPatient
    painted: Mapping[str, ByPatient]
    tested: Mapping[str, list[Tested]]


def count_steps(plan: RealismPlan) -> int:
    """Steps that `run_realism` reports."""
    networks = 2 * REPEATS * (len(plan.pools) + 1)
    return len(plan.real.case_ids) + sum(map(len, plan.pools.values())) + networks


def run_realism(
    plan: RealismPlan, device: str = "cpu", progress: Progress = lambda done, note: None
) -> RealismMeasured:
    """Measures everything.

    Args:
        plan: what to do.
        device: where networks run.
        progress: is told the number of steps done and what is going on.

    Raises:
        DatasetError: when there are too few lesions.
        InvalidVolume, LabelError, PoolError: when a case cannot be read.
    """
    done = 0

    def step(note: str) -> None:
        nonlocal done
        done += 1
        progress(done, note)

    form, training = _format(plan), Training(plan.seed, plan.steps, device)
    real = _grouped(_real_patches(plan, form, partial(step, "real cases")))
    painted = {
        name: _grouped(_painted_patches(plan, pool, form, lambda name=name: step(name)))  # type: ignore[misc]
        for name, pool in plan.pools.items()
    }
    tested = {}
    for name, patches in painted.items():

        def sized(half: frozenset[str], repeat: int, name: str = name, patches: ByPatient = patches) -> list[Pair]:
            return matched(_of(real, half), _of(patches, half), plan.seed, name, repeat)

        note = f"networks for {name}"
        tested[name] = run_trial(sized, plan.all_patients, name, training, partial(step, note))

    def blurred(half: frozenset[str], repeat: int) -> list[Pair]:
        return [(patch, patch.blurred(form.spacing_mm)) for patch in _of(real, half)]

    note = "networks for the control"
    tested[CONTROL] = run_trial(blurred, plan.all_patients, CONTROL, training, partial(step, note))
    return RealismMeasured(form, real, painted, tested)


def _format(plan: RealismPlan) -> PatchFormat:
    """The usual spacing of the real cases, a size that fits their lesions, and one scale where channels are CT."""
    spacings, extents = [], []
    for case_id in plan.real.case_ids:
        mask = plan.real.load_label(case_id)
        spacing_mm = canonical_grid(mask.grid).spacing_mm
        spacings.append(spacing_mm)
        parts = lesion_parts(to_canonical(mask.data, mask.grid), plan.real.schema, plan.anatomy)
        extents += [part.extent_mm(spacing_mm) for part in parts]
    if not extents:
        found = f"no real case has a lesion ({', '.join(plan.anatomy.lesions)})"
        raise DatasetError(found, where=plan.real.folder, fix="give real cases with lesions")
    x, y, z = map(float, np.median(spacings, axis=0))
    scale = plan.real.common_scale(plan.real.case_ids, IntensitySettings())
    return PatchFormat.fitting(extents, (x, y, z), scale)


def _real_patches(plan: RealismPlan, form: PatchFormat, step: Callable[[], None]) -> Iterator[Patch]:
    for case_id in plan.real.case_ids:
        case = canonical(plan.real.load(case_id))
        parts = lesion_parts(case.label, plan.real.schema, plan.anatomy)
        yield from form.cut(case, parts, plan.patient(case_id))
        step()


def _painted_patches(
    plan: RealismPlan, pool: PoolDataset, form: PatchFormat, step: Callable[[], None]
) -> Iterator[Patch]:
    @lru_cache(maxsize=CACHED_HOSTS)
    def load(case_id: str) -> Case:
        return canonical(plan.real.load(case_id))

    known = Relabelling(pool.schema, plan.real.schema)
    for record in pool.cases:
        pair, host = canonical(pool.read(record)), load(host_of(record))
        pair = replace(pair, label=known.apply(pair.label))
        parts = painted_lesions(pair, host, plan.real.schema, plan.anatomy)
        yield from form.cut(pair, parts, plan.patient(host.case_id))
        step()


def _grouped(patches: Iterator[Patch]) -> ByPatient:
    found = defaultdict(list)
    for patch in patches:
        found[patch.patient].append(patch)
    return dict(found)


def _of(patches: ByPatient, patients: frozenset[str]) -> list[Patch]:
    return [patch for patient in sorted(patients) for patch in patches.get(patient, ())]
