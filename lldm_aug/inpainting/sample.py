"""Samples of common libraries read as cases, and written back in their own kind with a region changed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError, InvalidVolume, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import SUFFIXES

CHANNEL_SUFFIX = re.compile(r"_\d{4}$")
"""Of nnU-Net's image files."""

Replace = Callable[[Case, np.ndarray], Any]
"""Maps a changed case and the (X, Y, Z) booleans of its changed voxels to a new sample of the original's kind."""


@dataclass(frozen=True)
class SampleLayout:
    """Where image and mask are in a sample.

    Args:
        image: key of the image in dictionaries and subjects.
        label: key of the mask.
        spacing_mm: voxel size of samples that come without an affine.
    """

    image: str = "image"
    label: str = "label"
    spacing_mm: tuple[float, float, float] | None = None


DEFAULT_LAYOUT = SampleLayout()


@dataclass(frozen=True)
class Opened:
    """A sample that was read.

    Args:
        case: its contents; the id is empty where the sample names no case.
        replace: writes a changed case back.
    """

    case: Case
    replace: Replace


def open_sample(sample: Any, layout: SampleLayout) -> Opened:
    """Reads a `Case`, a pair (image, mask, ...), a dictionary of arrays or (Meta)Tensors, or a TorchIO subject.

    The image is (C, X, Y, Z), the mask (X, Y, Z) or (1, X, Y, Z), on the CPU or another device.

    Raises:
        ConfigError: for another kind of sample, a missing key, or no affine and no spacing.
        InvalidVolume: when image and mask differ in shape, or the affine is none.
        LabelError: when the mask holds other than whole numbers.
    """
    if isinstance(sample, Case):
        return Opened(sample, lambda case, _: case)
    if isinstance(sample, Mapping):
        return _open_mapping(sample, layout)
    if isinstance(sample, (tuple, list)) and len(sample) > 1:
        return _open_pair(sample, layout)
    fix = "give a pair (image, mask), a dictionary, a TorchIO subject or a Case"
    raise ConfigError(f"a sample of type {type(sample).__name__} cannot be inpainted", fix=fix)


def _open_pair(sample: Any, layout: SampleLayout) -> Opened:
    image, label, *rest = sample

    def replace(case: Case, changed: np.ndarray) -> Any:
        items = [_written(image, case.image, changed), _written(label, case.label, changed), *rest]
        return type(sample)(*items) if hasattr(sample, "_fields") else type(sample)(items)

    return Opened(_read(image, label, None, "", layout), replace)


def _open_mapping(sample: Any, layout: SampleLayout) -> Opened:
    missing = [key for key in (layout.image, layout.label) if key not in sample]
    if missing:
        found = ", ".join(map(str, sample))
        fix = "name the keys by image= and label="
        raise ConfigError(f"the sample has no {missing[0]!r}; it has {found}", fix=fix)
    image, label = sample[layout.image], sample[layout.label]
    affine = getattr(image, "affine", sample.get("affine"))
    name = _name_of(sample.get("case_id"), label, image)

    def replace(case: Case, changed: np.ndarray) -> Any:
        new = copy.copy(sample)
        for key, values in ((layout.image, case.image), (layout.label, case.label)):
            new[key] = _replaced(sample[key], values, changed)
        if hasattr(new, "update_attributes"):  # of a TorchIO subject, whose images are attributes too
            new.update_attributes()
        return new

    return Opened(_read(_values(image), _values(label), affine, name, layout), replace)


def _values(held: Any) -> Any:
    """The array or tensor of a dictionary's entry; that of a TorchIO image is loaded."""
    return held.data if hasattr(held, "set_data") else held


def _replaced(held: Any, values: np.ndarray, changed: np.ndarray) -> Any:
    if not hasattr(held, "set_data"):
        return _written(held, values, changed)
    new = copy.copy(held)
    new.set_data(_written(held.data, values, changed))
    return new


def _read(image: Any, label: Any, affine: Any, name: str, layout: SampleLayout) -> Case:
    picture, mask = np.asarray(_on_cpu(image)), np.asarray(_on_cpu(label))
    mask = mask[0] if mask.ndim == 4 and len(mask) == 1 else mask
    if picture.ndim != 4 or picture.shape[1:] != mask.shape:
        raise InvalidVolume(
            f"an image of shape {picture.shape} with a mask of shape {mask.shape}",
            where=name or None,
            fix="give an image (C, X, Y, Z) and a mask (X, Y, Z) or (1, X, Y, Z) of integers, one sample at a time",
        )
    labels = mask.astype(np.int16)
    if not np.array_equal(labels, mask):
        raise LabelError("the mask holds other than whole numbers", where=name or None, fix="do not interpolate it")
    return Case(name, picture.astype(np.float32), labels, _grid(labels.shape, affine, layout.spacing_mm))


def _on_cpu(values: Any) -> Any:
    return values.detach().as_subclass(torch.Tensor).cpu() if isinstance(values, torch.Tensor) else values


def _grid(shape: tuple[int, ...], affine: Any, spacing_mm: tuple[float, float, float] | None) -> Grid:
    x, y, z = shape
    if affine is not None:
        return Grid((x, y, z), np.asarray(_on_cpu(affine), dtype=np.float64))
    if spacing_mm is None:
        raise ConfigError("the sample has no affine", fix="give spacing_mm=, the voxel size of your data")
    return Grid.regular((x, y, z), spacing_mm)


def _name_of(case_id: Any, *held: Any) -> str:
    """The case's name: as the sample says, or that of the first file that its entries were read from."""
    if isinstance(case_id, str):
        return case_id
    for entry in held:
        path = getattr(entry, "path", None) or getattr(entry, "meta", {}).get("filename_or_obj")
        if isinstance(path, (str, Path)):
            return case_name(path)
    return ""


def case_name(path: str | Path) -> str:
    """The id in nnU-Net's layout of the case that a file belongs to: its name without ending and channel."""
    name = Path(path).name
    ending = next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), "")
    return CHANNEL_SUFFIX.sub("", name.removesuffix(ending))


def _written(old: Any, new: np.ndarray, changed: np.ndarray) -> Any:
    """A copy of an array or tensor, of its type, whose changed voxels have new values.

    Args:
        old: (X, Y, Z) or (C, X, Y, Z).
        new: the same size.
        changed: (X, Y, Z) booleans.
    """
    where = np.array(np.broadcast_to(changed, old.shape))
    values = np.reshape(new, old.shape)[where]
    if isinstance(old, torch.Tensor):
        out: Any = old.clone()
        plain = out.as_subclass(torch.Tensor)
        plain[torch.from_numpy(where).to(plain.device)] = torch.from_numpy(values).to(plain)
        return out
    out = np.array(old)
    out[where] = values
    return out
