"""The report of a comparison: ``results.json``, a CSV file a table, ``report.md`` and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lldm_aug.data.intensity import Scale
from lldm_aug.evaluation.feature_cache import FeatureCache
from lldm_aug.evaluation.fidelity.contents import faithfulness, signal, vessels
from lldm_aug.evaluation.fidelity.copies import (
    RULE,
    CopyVerdict,
    Space,
    copies_table,
    find_spaces,
    judge_space,
    overall,
    verdicts_table,
)
from lldm_aug.evaluation.fidelity.distances import distances
from lldm_aug.evaluation.fidelity.diversity import diversity
from lldm_aug.evaluation.fidelity.plan import FidelityPlan
from lldm_aug.evaluation.fidelity.run import Measured, Reader
from lldm_aug.evaluation.fidelity.suspects import draw_suspects, find_suspects
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.machine import Machine
from lldm_aug.record import Record
from lldm_aug.report.table import Table
from lldm_aug.version import __version__

RESULTS_FILE = "results.json"
REPORT_FILE = "report.md"


class FidelityResults(Record):
    """What ``results.json`` holds.

    Args:
        lldm_aug_version: version that measured.
        machine: on which.
        pool: its name, generator, masks and number of pairs.
        generator_saw: data set and fold of each stage.
        real: data set, fold and ids of the real cases, and those set aside or left out.
        training: data set that was searched for copies, if any, and how many cases.
        networks: name and identity of each feature network.
        referee: its hash, if there is one.
        view: voxels, spacing and scale in which all was compared.
        seed: of the run.
        copies: verdict on each distance.
        copies_verdict: the worst of them; None where copies were not looked for.
        copies_rule: how verdicts come about.
        tables: every figure.
        suspects: pictures of pairs beside their nearest training case.
        notes: what was left out or has to be known.
    """

    lldm_aug_version: str
    machine: Machine
    pool: dict[str, Any]
    generator_saw: tuple[str, ...]
    real: dict[str, Any]
    training: dict[str, Any] | None
    networks: tuple[dict[str, str], ...]
    referee: str | None
    view: dict[str, Any]
    seed: int
    copies: tuple[CopyVerdict, ...]
    copies_verdict: str | None
    copies_rule: str
    tables: tuple[Table, ...]
    suspects: tuple[str, ...]
    notes: tuple[str, ...]


def write_report(
    plan: FidelityPlan, measured: Measured, caches: list[FeatureCache], out: Path, machine: Machine
) -> FidelityResults:
    """Makes figures of measurements and writes all files, each atomically."""
    spaces: list[Space] = []
    if measured.training:
        pairs, held_out = ([case.original for case in cases] for cases in (measured.synthetic, measured.real))
        spaces = find_spaces(pairs, held_out, measured.training)
    suspects = find_suspects(spaces, [case.case_id for case in plan.pool.cases], plan.by_design)
    pictures = draw_suspects(suspects, Reader(plan, measured.view), out) if suspects else []
    results = _compile(plan, measured, caches, spaces, machine, tuple(map(str, pictures)))
    for table in results.tables:
        write_text(out / f"{table.name}.csv", table.csv())
    write_text(out / REPORT_FILE, markdown(results))
    write_json(out / RESULTS_FILE, results.model_dump(mode="json"))
    return results


def _compile(
    plan: FidelityPlan,
    measured: Measured,
    caches: list[FeatureCache],
    spaces: list[Space],
    machine: Machine,
    pictures: tuple[str, ...],
) -> FidelityResults:
    pool, real, view = plan.pool, plan.real, measured.view
    names = [case.case_id for case in pool.cases]
    verdicts = tuple(judge_space(space, names, plan.by_design) for space in spaces)
    return FidelityResults(
        lldm_aug_version=__version__,
        machine=machine,
        pool={
            "name": pool.folder.resolve().name,
            "generator": pool.info.generator.hash,
            "settings": pool.info.settings_hash,
            "masks": pool.info.mask_source,
            "pairs": len(pool),
        },
        generator_saw=tuple(f"{s.stage}: {s.dataset} fold {s.fold}" for s in pool.info.generator.stages),
        real={
            "dataset": real.dataset.name,
            "fold": real.fold,
            "cases": list(real.case_ids),
            "set_aside": real.set_aside,
            "unusable": real.unusable,
        },
        training=None if plan.training is None else {"dataset": plan.training.name, "cases": len(plan.training_cases)},
        networks=tuple({"name": c.network.name, "identity": c.network.identity} for c in caches),
        referee=None if plan.referee is None else plan.referee.hash,
        view={"shape": view.shape, "spacing_mm": view.spacing_mm, "scale": _scale(view.scale)},
        seed=plan.seed,
        copies=verdicts,
        copies_verdict=overall(verdicts),
        copies_rule=RULE,
        tables=_tables(plan, measured, [cache.network.name for cache in caches], spaces, verdicts),
        suspects=pictures,
        notes=(*plan.notes, *_design_notes(plan)),
    )


def _tables(
    plan: FidelityPlan,
    measured: Measured,
    networks: list[str],
    spaces: list[Space],
    verdicts: tuple[CopyVerdict, ...],
) -> tuple[Table, ...]:
    synthetic, real, schema, seed = measured.synthetic, measured.real, plan.pool.schema, plan.seed
    tables = [
        distances(synthetic, real, networks, seed),
        faithfulness(synthetic, real, schema, seed),
        vessels(synthetic, real, schema, seed),
        signal(synthetic, real, schema, seed),
        diversity(measured, seed),
        verdicts_table(verdicts),
        copies_table(spaces, [case.case_id for case in plan.pool.cases], plan.training_cases),
    ]
    return tuple(tables)


def _design_notes(plan: FidelityPlan) -> list[str]:
    if not plan.by_design:
        return []
    return [
        f"{len(plan.by_design)} of {len(plan.pool)} pairs were made for the mask of a training case, or one made from "
        "it: such masks are near by design and not judged, and their images are nearer to that case than those of "
        "unrelated anatomy, so that 'copies' and 'too close' may mean no more than that. Look at the pictures"
    ]


def _scale(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else scale.model_dump(mode="json")


def markdown(results: FidelityResults) -> str:
    """The report in words and tables; of copies only the verdicts and the most suspicious pairs."""
    pool, real = results.pool, results.real
    lines = [
        "# Fidelity of a pool",
        "",
        f"{pool['pairs']} pairs of `{pool['name']}` ({pool['masks']} masks, generator `{pool['generator'][:12]}`) and "
        f"{len(real['cases'])} held-out real cases of {real['dataset']} (fold {real['fold'] or '-'}). "
        f"Made by lldm_aug {results.lldm_aug_version}, seed {results.seed}, on {results.machine}.",
        "",
        f"**Copies of training cases: {results.copies_verdict or 'not looked for'}.**",
        "",
        *(f"- {note}" for note in results.notes),
        "",
    ]
    for table in results.tables:
        if not table.rows:
            continue
        shown = table.model_copy(update={"rows": table.rows[:MOST_ROWS]})
        lines += [f"## {table.title}", "", shown.markdown(), table.note]
        if len(table.rows) > MOST_ROWS:
            lines.append(f"The first {MOST_ROWS} of {len(table.rows)} lines; all: `{table.name}.csv`.")
        lines.append("")
    if results.suspects:
        lines += ["## Nearest pairs beside their training case", ""]
        lines += [line for path in results.suspects for line in (f"![{Path(path).stem}]({path})", "")]
    return "\n".join(lines)


MOST_ROWS = 30
"""Of a table in ``report.md``."""
