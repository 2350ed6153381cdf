"""The report of the test: ``results.json``, a CSV file a table, and ``report.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.realism.plan import RealismPlan
from lldm_aug.evaluation.realism.run import CONTROL, RealismMeasured
from lldm_aug.evaluation.realism.tables import areas, copies, patch_kid
from lldm_aug.evaluation.report import Results, networks_facts, tables_in_words, write_results
from lldm_aug.machine import Machine
from lldm_aug.report.table import Table
from lldm_aug.version import __version__

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
