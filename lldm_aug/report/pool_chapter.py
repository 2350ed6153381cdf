"""The chapter on a pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import MaskOrigin, PoolCase, PoolInfo, read_cases, read_info
from lldm_aug.pool.pool_mosaic import NUM_ROWS, case_row, pool_rows
from lldm_aug.pool.rejected import Reason, RejectedCase, count_reasons, read_rejected
from lldm_aug.pool.retired import RETIRED_FILE, read_retired
from lldm_aug.pool.summary import summarise
from lldm_aug.report.content import Chapter, Part
from lldm_aug.report.data_table import Table, heading, in_words
from lldm_aug.report.embedded import Pair, embed_mosaic, embed_pair
from lldm_aug.report.leaks import Asked

ELSEWHERE = ("generator", "generator_saw", "rejected_for")
"""Lines of the summary that the page shows in another place."""

SLICES = "Slices through the largest part of each pair's rarest structure, without and with the outlines of its mask."


def pool_chapter(pool: Path, asked: Asked) -> Chapter:
    """What a pool holds, where it came from, what its quality filter rejected.

    Raises:
        PoolError: when the pool is not valid, or a file is missing.
    """
    info, cases, rejected = read_info(pool), read_cases(pool), _readable_rejected(pool)
    name = pool.resolve().name
    known = {k: v for k, v in summarise(pool).model_dump().items() if k not in ELSEWHERE and v not in (None, {}, ())}
    facts = {heading(k): in_words(v) for k, v in known.items()}
    origins = [case.mask for case in cases.values()]
    schema = LabelSchema.from_dataset_json(info.dataset_json, pool)
    parts = (_cases_part(pool, name, cases.values(), schema), _rejected_part(pool, name, rejected, schema))
    return Chapter(
        name,
        "pool of synthetic pairs",
        {**facts, "generator": info.generator.hash[:12]},
        info.generator.stages,
        asked.leak_state(info.generator, origins, info),
        tuple(part for part in parts if not part.empty),
        tuple(_pairs(pool, name, cases.values(), rejected, asked.pairs, schema)),
        _notes(info),
    )


def pool_pairs(pool: Path, count: int) -> tuple[Pair, ...]:
    """Pairs of a pool for the viewer: the first accepted ones, and a third as many rejected ones."""
    schema = LabelSchema.from_dataset_json(read_info(pool).dataset_json, pool)
    cases, rejected = read_cases(pool).values(), _readable_rejected(pool)
    return tuple(_pairs(pool, pool.resolve().name, cases, rejected, count, schema))


def _readable_rejected(pool: Path) -> list[RejectedCase]:
    retired = read_retired(pool / RETIRED_FILE)
    return [case for case_id, case in read_rejected(pool).items() if case_id not in retired]


def _pairs(
    pool: Path,
    name: str,
    cases: Iterable[PoolCase],
    rejected: list[RejectedCase],
    count: int,
    schema: LabelSchema,
) -> Iterator[Pair]:
    for case in [*cases][:count]:
        row = case_row(pool, case, case.case_id)
        yield embed_pair(row, schema, f"{name}: accepted", case.case_id, f"Mask {_origin(case.mask)}; seed {case.seed}")
    for refused in rejected[: (count + 2) // 3]:
        row = case_row(pool, refused, refused.case_id)
        yield embed_pair(row, schema, f"{name}: rejected", refused.case_id, f"Rejected: {_why(refused)}")


def _cases_part(pool: Path, name: str, cases: Iterable[PoolCase], schema: LabelSchema) -> Part:
    rows = pool_rows(pool)
    lines = tuple((c.case_id, c.seed, c.mask.kind, _origin(c.mask), c.mask.rejected) for c in cases)
    table = Table(
        name="cases",
        title="All pairs",
        columns=("pair", "seed", "mask", "made from", "masks refused before"),
        rows=lines,
    )
    pictures = (embed_mosaic(rows, f"{name}: first pairs", SLICES, schema),) if rows else ()
    return Part("Pairs", pictures=pictures, tables=(table,) if lines else ())


def _rejected_part(pool: Path, name: str, rejected: list[RejectedCase], schema: LabelSchema) -> Part:
    if not rejected:
        return Part("Rejected pairs")
    counts = tuple(count_reasons(rejected).items())
    lines = tuple(
        (case.case_id, r.check, r.structure, r.value, r.low, r.high) for case in rejected for r in case.reasons
    )
    reasons = Table(
        name="rejected_for",
        title="Reasons",
        columns=("reason", "pairs"),
        rows=counts,
        note="A pair may have several reasons.",
    )
    columns = ("pair", "check", "structure", "value", "least allowed", "most allowed")
    listed = Table(name="rejected", title="Each rejected pair", columns=columns, rows=lines)
    rows = [case_row(pool, case, f"{case.case_id}: {_why(case)}") for case in rejected[:NUM_ROWS]]
    picture = embed_mosaic(rows, f"{name}: rejected pairs", SLICES, schema)
    return Part("Rejected pairs", tables=(reasons, listed), pictures=(picture,))


def _why(case: RejectedCase) -> str:
    return "; ".join(map(_in_words, case.reasons))


def _in_words(reason: Reason) -> str:
    return f"{heading(reason.name)} {reason.value:.3g}, allowed {reason.low:.3g} to {reason.high:.3g}"


def _origin(mask: MaskOrigin) -> str:
    source = f" from {mask.source_case} of {mask.source_dataset}" if mask.source_case else ""
    edits = "".join(f", {edit.structure} {edit.kind}" for edit in mask.edits)
    return f"{mask.kind}{source}{edits}"


def _notes(info: PoolInfo) -> tuple[str, ...]:
    return () if info.generator.stages else ("The pool's generator has no history on record.",)
