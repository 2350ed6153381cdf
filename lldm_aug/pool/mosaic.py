"""A picture of a pool's first cases."""

from __future__ import annotations

from pathlib import Path

from lldm_aug.data.resample import canonical_grid, to_canonical
from lldm_aug.io.nifti import read_image, read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import PoolCase, read_cases, read_info
from lldm_aug.report.mosaic import MosaicRow, write_mosaic

MOSAIC_FILE = "mosaic.png"
NUM_ROWS = 5


def pool_rows(pool: Path) -> list[MosaicRow]:
    """The first cases of a pool."""
    return [case_row(pool, case, f"synthetic: {case.case_id}") for case in list(read_cases(pool).values())[:NUM_ROWS]]


def draw_pool(pool: Path) -> Path | None:
    """Draws image and mask outlines of the first cases; None for an empty pool."""
    rows = pool_rows(pool)
    if not rows:
        return None
    info = read_info(pool)
    title = f"{pool.resolve().name}: {info.mask_source} masks, seed {info.seed}"
    schema = LabelSchema.from_dataset_json(info.dataset_json)
    write_mosaic(pool / MOSAIC_FILE, rows, title=title, schema=schema)
    return pool / MOSAIC_FILE


def case_row(pool: Path, case: PoolCase, caption: str) -> MosaicRow:
    """A case of the pool, or one that its gate rejected: first channel, in canonical axes."""
    image_name = min(name for name in case.files if "images/" in name)
    label_name = next(name for name in case.files if "labels/" in name)
    image, label = read_image(pool / image_name), read_label(pool / label_name)
    return MosaicRow(
        to_canonical(image.data, image.grid),
        to_canonical(label.data, label.grid),
        canonical_grid(image.grid).spacing_mm,
        caption,
    )
