"""Pictures, and pairs for the slice viewer, embedded in a page so that it needs no other file."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np

from lldm_aug.errors import LldmAugError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import MosaicRow, colour_of, write_mosaic
from lldm_aug.pictures.planes import PLANES, IntensityWindow, best_slice, robust_window

BUDGET_MB = 40.0
"""Pairs beyond this many megabytes of text are left out of a page."""


@dataclass(frozen=True)
class Pair:
    """A pair as the viewer takes it.

    Args:
        group: under which heading it is offered.
        name: its name there.
        detail: what stands below the picture.
        image: base64 of a gzipped NIfTI file: 256 grey levels between the window's bounds.
        mask: base64 of a gzipped NIfTI file.
        window: what is shown as black and as white.
        voxel: where the crosshair begins, (x, y, z) in RAS order.
        colours: value, name and colour (#rrggbb) of each label.
    """

    group: str
    name: str
    detail: str
    image: str
    mask: str
    window: IntensityWindow
    voxel: tuple[int, int, int]
    colours: tuple[tuple[int, str, str], ...]

    @property
    def megabytes(self) -> float:
        """Its size in the page."""
        return (len(self.image) + len(self.mask)) / 1e6


def embed_pair(row: MosaicRow, schema: LabelSchema, group: str, name: str, detail: str) -> Pair:
    """A case for the viewer.

    Args:
        row: the case in canonical axes.
        schema: gives the structures' names.
        group: heading in the list of pairs.
        name: in that list.
        detail: remarks.
    """
    window = robust_window(row.image, row.label)
    names = {value: name.replace("_", " ") for name, value in schema.values.items()}
    values = [int(v) for v in np.unique(row.label) if v > 0]
    x, y, z = (best_slice(row.label, plane) for plane in reversed(PLANES))
    return Pair(
        group,
        name,
        detail,
        _nifti(np.clip(row.image, *window), row.spacing_mm),
        _nifti(row.label.astype(np.uint8 if row.label.max(initial=0) < 256 else np.int16), row.spacing_mm),
        window,
        (x, y, z),
        tuple((v, names.get(v, f"label {v}"), colour_of(v)) for v in values),
    )


def _nifti(data: np.ndarray, spacing_mm: tuple[float, float, float]) -> str:
    x, y, z = data.shape
    affine = Grid.regular((x, y, z), spacing_mm).affine
    image = nib.Nifti1Image(data.astype(np.float32) if data.dtype.kind == "f" else data, affine)
    if data.dtype.kind == "f":
        image.set_data_dtype(np.uint8)  # nibabel finds slope and intercept
    else:
        image.header.set_intent("label")  # NiiVue outlines nothing else
    return base64.b64encode(gzip.compress(image.to_bytes(), compresslevel=9, mtime=0)).decode("ascii")


WIDEST = 1720
"""Pixels; wider pictures are made smaller: no page shows more."""
QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """An embedded picture.

    Args:
        caption: what it shows; also read out to those who cannot see it.
        uri: ``data:image/webp;base64,...``.
        width: pixels.
        height: pixels.
    """

    caption: str
    uri: str
    width: int
    height: int


def embed_picture(path: Path, caption: str) -> Picture:
    """A picture file, as WebP.

    Raises:
        LldmAugError: when it cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    stream = io.BytesIO()
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise LldmAugError("is no picture", where=path, fix="delete it, or make it again") from error
    image.thumbnail((WIDEST, 4 * WIDEST))
    image.save(stream, format="webp", quality=QUALITY, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(caption, uri, *image.size)


def embed_mosaic(rows: Sequence[MosaicRow], title: str, caption: str, schema: LabelSchema) -> Picture:
    """A mosaic, drawn anew with a title in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.png"
        write_mosaic(path, rows, title=title, schema=schema)
        return embed_picture(path, caption)
