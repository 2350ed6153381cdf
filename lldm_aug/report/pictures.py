"""Pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lldm_aug.errors import LldmAugError
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic

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
