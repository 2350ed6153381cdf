"""What each arm of a study rests on: generator, masks, and the hashes by which both can be checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lldm_aug.evaluation.utility.arms import AUTOENCODED
from lldm_aug.evaluation.utility.cell import Cell
from lldm_aug.evaluation.utility.data import StudyData, generator_hash
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.report.table import Cell as Entry
from lldm_aug.report.table import Table

SHORT = 12
"""Characters of a hash that tell it from all others of a study."""
NOTE = (
    f"Hashes by their first {SHORT} characters: of the pool as in each cell's request.json (trained_on), of the "
    "generator as in the pool's pool.json."
)


def arms_table(data: StudyData) -> Table:
    """A line for each arm, label fraction and fold.

    Raises:
        PoolError: when a pool is missing or damaged.
    """
    rows = [
        (str(arm), label_fraction, fold, len(source.labelled), source.seen_by(arm), *_made_of(data, cell))
        for (fold, label_fraction), source in data.plan.sources.items()
        for arm in data.plan.arms
        for cell in (Cell(data.plan.networks[0], arm, label_fraction, fold, data.plan.seeds[0]),)
    ]
    columns = ("arm", "label_fraction", "fold", "labelled cases", "its generator saw", "masks", "pool", "generator")
    return Table(name="arms", title="What each arm rests on", columns=columns, rows=tuple(rows), note=NOTE)


def describe_masks(origins: Iterable[MaskOrigin]) -> str:
    """Kinds of masks and what they are of, such as ``deformed and edited from 6 cases of Dataset700_Study``."""
    kinds: dict[str | None, set[str]] = defaultdict(set)
    cases: dict[str | None, set[str | None]] = defaultdict(set)
    for origin in origins:
        kinds[origin.source_dataset].add(origin.kind)
        cases[origin.source_dataset].add(origin.source_case or origin.source_sha256)
    words = {dataset: " and ".join(sorted(found)) for dataset, found in kinds.items()}
    for dataset, found in cases.items():
        if dataset is not None:
            words[dataset] += f" from {len(found)} case{'s' * (len(found) > 1)} of {dataset}"
    return "; ".join(words.values())


def _made_of(data: StudyData, cell: Cell) -> tuple[Entry, Entry, Entry]:
    """Masks, pool and generator of an arm; None for what it lacks."""
    source = data.plan.sources[cell.fold, cell.label_fraction]
    if cell.arm.synthetic and source.pool is not None:
        pool = PoolDataset(source.pool)
        masks = describe_masks(case.mask for case in pool.cases)
        return masks, data.trained_on(cell)["pool"][:SHORT], pool.info.generator.hash[:SHORT]
    if cell.arm.kind == AUTOENCODED and source.generator is not None:
        return None, None, generator_hash(source.generator)[:SHORT]
    return None, None, None
