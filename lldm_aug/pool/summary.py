"""A pool in a few lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import read_cases, read_info
from lldm_aug.pool.rejected import count_reasons, read_rejected
from lldm_aug.record import Record


class PoolSummary(Record):
    """What a pool holds.

    Args:
        cases: how many.
        megabytes: size of their files.
        channels: names of the image channels.
        structures: integer of each structure.
        masks: how many cases of each kind of mask.
        mask_dataset: the data set that masks were drawn from, if any.
        fold: its fold, if any.
        rejected_masks: masks refused for their anatomy, and drawn again, also of pairs that the quality filter refused.
        tumour_edits: how many tumours were added, moved, grown, shrunk and removed in real masks.
        rejected_pairs: pairs that the quality filter refused.
        rejected_for: how many for which reason; a pair may have several.
        segmenters: hashes of the segmenters that judged, if any did.
        seed: the run's seed.
        generator: the generator's hash.
        generator_saw: data set and fold of each training stage.
        made_by: the version of this package.
    """

    cases: int
    megabytes: float
    channels: tuple[str, ...]
    structures: dict[str, int]
    masks: dict[str, int]
    mask_dataset: str | None
    fold: int | str | None
    rejected_masks: int
    tumour_edits: dict[str, int]
    rejected_pairs: int
    rejected_for: dict[str, int]
    segmenters: tuple[str, ...]
    seed: int
    generator: str
    generator_saw: tuple[str, ...]
    made_by: str


def summarise(pool: Path) -> PoolSummary:
    """Reads ``pool.json`` and the manifest, no volumes.

    Raises:
        PoolError: when either is missing or invalid.
    """
    info, cases = read_info(pool), read_cases(pool).values()
    rejected = read_rejected(pool)
    size = sum(record.size for case in cases for record in case.files.values())
    return PoolSummary(
        cases=len(cases),
        megabytes=round(size / 1e6, 3),
        channels=tuple(map(str, info.dataset_json.get("channel_names", {}).values())),
        structures=LabelSchema.from_dataset_json(info.dataset_json, pool).values,
        masks=dict(sorted(Counter(case.mask.kind for case in cases).items())),
        mask_dataset=info.mask_dataset,
        fold=info.fold,
        rejected_masks=sum(case.mask.rejected for case in (*cases, *rejected.values())),
        tumour_edits=dict(sorted(Counter(edit.kind for case in cases for edit in case.mask.edits).items())),
        rejected_pairs=len(rejected),
        rejected_for=count_reasons(rejected.values()),
        segmenters=tuple(sorted(_segmenters(info.settings))),
        seed=info.seed,
        generator=info.generator.hash,
        generator_saw=tuple(f"{s.stage}: {s.dataset} fold {s.fold}" for s in info.generator.stages),
        made_by=f"lldm_aug {info.lldm_aug_version}",
    )


def _segmenters(settings: dict[str, Any]) -> set[str]:
    if "merged" in settings:
        return {segmenter for part in settings["merged"] for segmenter in _segmenters(part)}
    return {settings["quality_filter"]["segmenter"]} if "quality_filter" in settings else set()
