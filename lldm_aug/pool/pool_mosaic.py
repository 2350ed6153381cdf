"""A picture of a pool's first cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.io.nifti import read_image, read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.pictures.planes import robust_window
from lldm_aug.pool.manifest import PoolCase, read_cases, read_info

MOSAIC_FILE = "mosaic.png"
NUM_ROWS = 5
NUM_HOSTS = 3


def pool_rows(pool: Path, hosts: RawDataset | None = None) -> list[MosaicRow]:
    """The first cases of a pool; given their hosts, inpainted ones come below these, in the slices of their edits."""
    cases = list(read_cases(pool).values())
    if hosts is None or any(case.inpainting is None for case in cases):
        return [case_row(pool, case, f"synthetic: {case.case_id}") for case in cases[:NUM_ROWS]]
    return [row for case in cases[:NUM_HOSTS] for row in _host_and_pair(pool, case, hosts)]


def _host_and_pair(pool: Path, case: PoolCase, hosts: RawDataset) -> tuple[MosaicRow, MosaicRow]:
    assert case.mask.source_case is not None
    host = MosaicRow.of(hosts.load(case.mask.source_case), f"host: {case.mask.source_case}")
    edits = ", ".join(f"{edit.structure} {edit.kind}" for edit in case.mask.edits)
    pair = case_row(pool, case, f"inpainted: {case.case_id}{edits and f' ({edits})'}")
    changed = host.image != pair.image
    shared = {"slices_from": changed, "window": robust_window(host.image, host.label)}
    return replace(host, **shared), replace(pair, **shared)


def draw_pool(pool: Path, hosts: RawDataset | None = None) -> Path | None:
    """Draws image and mask outlines of the first cases, below their hosts if given; None for an empty pool."""
    rows = pool_rows(pool, hosts)
    if not rows:
        return None
    info = read_info(pool)
    title = f"{pool.resolve().name}: {info.mask_source} masks, seed {info.seed}"
    schema = LabelSchema.from_dataset_json(info.dataset_json)
    write_mosaic(pool / MOSAIC_FILE, rows, title=title, schema=schema)
    return pool / MOSAIC_FILE


def case_row(pool: Path, case: PoolCase, caption: str) -> MosaicRow:
    """A case of the pool, or one that its quality filter rejected: first channel, in canonical axes."""
    image_name = min(name for name in case.files if "images/" in name)
    label_name = next(name for name in case.files if "labels/" in name)
    image, label = read_image(pool / image_name), read_label(pool / label_name)
    return MosaicRow(
        to_canonical(image.data, image.grid),
        to_canonical(label.data, label.grid),
        canonical_grid(image.grid).spacing_mm,
        caption,
    )
