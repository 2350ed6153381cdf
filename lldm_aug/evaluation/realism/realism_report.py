"""The report of the test: ``results.json``, a CSV file a table, and ``report.md``.

Tables have areas under the ROC curve, KID of patches, and a memorization check of painted lesions, which compares no
whole images: outside of the region they are the host's by design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lldm_aug.evaluation.bootstrap import resamples
from lldm_aug.evaluation.evaluation_report import Results, networks_facts, tables_in_words, write_results
from lldm_aug.evaluation.measure.features import CaseFeatures, FeatureCache, pooled
from lldm_aug.evaluation.measure.neighbours import Neighbours, decorrelation, euclidean, nearest, thumbnail
from lldm_aug.evaluation.realism.patches import SHIFT, Patch, patch_slices
from lldm_aug.evaluation.realism.realism_plan import RealismPlan
from lldm_aug.evaluation.realism.realism_test import CONTROL, RealismMeasured
from lldm_aug.evaluation.realism.trial import Pair, Tested, area
from lldm_aug.evaluation.tables.distances import RESAMPLES, figures, resampled
from lldm_aug.evaluation.tables.memorization import RULE, Space, judge_space
from lldm_aug.machine import Machine
from lldm_aug.report.data_table import Cell, Table
from lldm_aug.version import __version__

FEWEST_PATIENTS = 2
"""Of each kind in each half, for a KID."""


def areas(measured: RealismMeasured, seed: int) -> Table:
    """Table ``auc``: how well painted lesions are told from real ones, a line for each arm."""
    rows: list[tuple[Cell, ...]] = []
    for arm, tested in measured.tested.items():
        sizes = [[pair[kind].diameter_mm for test in tested for pair in test.pairs] for kind in (0, 1)]
        patients = {patient for test in tested for patient in (*test.real, *test.painted)}
        lesions = sum(len(test.pairs) for test in tested) // (len(tested) // 2)
        found = area(tested, arm, seed)
        rows.append((arm, *found.cells, lesions, len(patients), *(float(np.median(kind)) for kind in sizes)))
    return Table(
        name="auc",
        title="Can a network tell painted lesions from real ones of other patients?",
        columns=("arm", "auc", "low", "high", "lesions", "patients", "real_mm", "painted_mm"),
        rows=tuple(rows),
        note="Area under the ROC curve of a small 3D network: 0.5 is chance, 1 is always. It learns on half of the "
        "patients and is tested on the other half; halves are swapped, and drawn twice. Lesions: of either kind, "
        "tested in one halving. Each painted lesion has a real one of equal size (diameters differ by at most a "
        f"quarter; medians in mm). Intervals: 95 %, bootstrap over patients. {CONTROL}: real lesions against the same "
        "ones blurred by one voxel. If these are not found (AUC near 1), the test sees too little, and a low AUC of "
        "the pools says nothing.",
    )


def patch_kid(measured: RealismMeasured, caches: Sequence[FeatureCache], seed: int) -> Table:
    """Table ``kid``: distance of lesion-centred patches of a pool to real ones, with the real-vs-real baseline."""
    rows: list[tuple[Cell, ...]] = []
    for cache in caches:
        for arm, tested in measured.tested.items():
            found = _both_ways(tested, cache, seed, arm)
            if found is not None:
                rows.append((cache.network.name, arm, *figures(found)))
    names = (f"{name}{end}" for name in ("kid", "baseline", "ratio") for end in ("", "_low", "_high"))
    return Table(
        name="kid",
        title="KID of lesion-centred patches to real ones of other patients",
        columns=("network", "arm", *names),
        rows=tuple(rows),
        note="Middle slices of each patch. Painted lesions of half of the patients (or hosts) are compared with real "
        "ones of the other half, which is what the baseline does with real ones of the same size; mean of all halves. "
        "Intervals: 95 %, bootstrap over patients.",
    )


def _both_ways(tested: Sequence[Tested], cache: FeatureCache, seed: int, arm: str) -> np.ndarray | None:
    """(1 + R, 2) distance and baseline, mean over the halves; None where a half has too few patients."""
    found = []
    for number, (here, there) in enumerate(_opposite(tested)):
        sets = [
            _by_patient([pair[kind] for pair in pairs], cache) for pairs, kind in ((here, 1), (here, 0), (there, 0))
        ]
        if min(map(len, sets)) < FEWEST_PATIENTS:
            return None
        draws = list(resamples([len(cases) for cases in sets], RESAMPLES, seed, arm, number))
        planes = sorted(sets[0][0])
        by_plane = [resampled("KID", [[case[plane] for case in cases] for cases in sets], draws) for plane in planes]
        found.append(np.mean(by_plane, axis=0))
    return np.asarray(np.mean(found, axis=0))


def _opposite(tested: Sequence[Tested]) -> list[tuple[list[Pair], list[Pair]]]:
    """The lesions of each half with those of the other half of the same halving."""
    return [(tested[i].pairs, tested[i ^ 1].pairs) for i in range(len(tested))]


def _by_patient(patches: Sequence[Patch], cache: FeatureCache) -> list[CaseFeatures]:
    groups: dict[str, list[Patch]] = {}
    for patch in patches:
        groups.setdefault(patch.patient, []).append(patch)
    return [cache.features(patch_slices(groups[patient])) for patient in sorted(groups)]


COLUMNS = ("verdict", "judged", "copies", "nearer_than_any", "smallest_share", "p")
Distances = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray]


def copies(measured: RealismMeasured, cache: FeatureCache) -> Table:
    """Table ``copies``: the verdict on each pool, by the distance of features and of images."""
    real = [patch for patches in measured.real.values() for patch in patches]
    rows: list[tuple[Cell, ...]] = []
    for name, by_patient in measured.painted.items():
        painted = [patch for patches in by_patient.values() for patch in patches]
        if not painted:
            continue
        for space, codes, distances in (
            ("features", [_features(patches, cache) for patches in (painted, real)], euclidean),
            ("image", [_images(patches) for patches in (painted, real)], decorrelation),
        ):
            found = Space(
                space,
                _to_others(painted, codes[0], real, codes[1], distances),
                _to_others(real, codes[1], real, codes[1], distances),
            )
            verdict = judge_space(found, [str(i) for i in range(len(painted))], ())
            rows.append((name, space, *(getattr(verdict, column) for column in COLUMNS)))
    return Table(
        name="copies",
        title="Are painted lesions copies of real ones?",
        columns=("pool", "space", *COLUMNS),
        rows=tuple(rows),
        note="Distance of each lesion-centred patch to the nearest real lesion of another patient, for painted lesions "
        f"and, in place of held-out cases, for real ones. {RULE} Whole images are not compared: outside of the region "
        "they are the host's by design. Copy-paste copies by design, too.",
    )


def _to_others(
    patches: Sequence[Patch],
    codes: Sequence[np.ndarray],
    real: Sequence[Patch],
    real_codes: Sequence[np.ndarray],
    distances: Distances,
) -> Neighbours:
    """The nearest real lesion of another patient of each patch."""
    same = np.array([[patch.patient == other.patient for other in real] for patch in patches])
    return nearest(np.where(same, np.inf, distances(codes, real_codes)))


def _features(patches: Sequence[Patch], cache: FeatureCache) -> list[np.ndarray]:
    return [pooled(cache.features(patch_slices([patch]))) for patch in patches]


def _images(patches: Sequence[Patch]) -> list[np.ndarray]:
    return [thumbnail(patch.image[:, *(slice(SHIFT, -SHIFT),) * 3]) for patch in patches]


CONTROL_FOUND = 0.8
"""Least area under the ROC curve of the control for a test that says something."""


class RealismResults(Results):
    """What ``results.json`` holds besides.

    Args:
        real: data set, number of cases, of patients and of lesions.
        pools: of each its generator, settings, pairs and painted lesions.
        patches: voxels along (X, Y, Z) and spacing.
        networks: name and identity of each feature network.
        seed: of the run.
    """

    real: dict[str, Any]
    pools: dict[str, dict[str, Any]]
    patches: dict[str, Any]
    networks: tuple[dict[str, str], ...]
    seed: int


def write_report(
    plan: RealismPlan, measured: RealismMeasured, caches: Sequence[FeatureCache], out: Path, machine: Machine
) -> RealismResults:
    """Makes figures of measurements and writes all files, each atomically."""
    tables = (areas(measured, plan.seed), patch_kid(measured, caches, plan.seed), copies(measured, caches[0]))
    results = RealismResults(
        lldm_aug_version=__version__,
        machine=machine,
        real={
            "dataset": plan.real.name,
            "cases": len(plan.real.case_ids),
            "patients": len(plan.all_patients),
            "lesions": sum(map(len, measured.real.values())),
        },
        pools={
            name: {
                "generator": pool.info.generator.hash,
                "settings": pool.info.settings_hash,
                "paint": sorted({case.inpainting.paint for case in pool.cases if case.inpainting}),
                "pairs": len(pool),
                "lesions": sum(map(len, measured.painted[name].values())),
            }
            for name, pool in plan.pools.items()
        },
        patches={"side": measured.format.side, "spacing_mm": measured.format.spacing_mm},
        networks=networks_facts(cache.network for cache in caches),
        seed=plan.seed,
        tables=tables,
        notes=_notes(tables[0]),
    )
    write_results(out, results, markdown(results))
    return results


def _notes(auc: Table) -> tuple[str, ...]:
    (control,) = (row[1] for row in auc.rows if row[0] == CONTROL)
    if isinstance(control, float) and control >= CONTROL_FOUND:
        return ()
    return (
        f"the control was not found (AUC below {CONTROL_FOUND:g}): this test cannot tell whether lesions look real",
    )


def markdown(results: RealismResults) -> str:
    """The report in words and tables."""
    real, pools = results.real, results.pools
    x, y, z = results.patches["side"]
    listed = "; ".join(f"`{n}` ({'/'.join(p['paint'])}): {p['pairs']} pairs, {p['lesions']}" for n, p in pools.items())
    spacing = " x ".join(f"{s:.3g}" for s in results.patches["spacing_mm"])
    lines = [
        "# Realism of painted lesions",
        "",
        f"{real['lesions']} real lesions of {real['patients']} patients of {real['dataset']}, and painted lesions of "
        f"{listed}. Patches of {x} x {y} x {z} voxels of {spacing} mm around each lesion. Made by lldm_aug "
        f"{results.lldm_aug_version}, seed {results.seed}, on {results.machine}.",
        "",
        *(f"- {note}" for note in results.notes),
        "",
        *tables_in_words(results.tables),
    ]
    return "\n".join(lines)
