"""The bytes of a NIfTI file: judged by its header, then read to the very end, where the checksum is."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np

from lldm_aug.errors import InvalidVolume

MAX_SIDE = 4096
MAX_VOXELS = 2**30
MAX_DEFLATE_RATIO = 1032  # no deflate stream expands further
SLACK_BYTES = 2**20  # header extensions before the voxels, padding behind them
SUFFIXES = (".nii.gz", ".nii")
_COPY_AGAIN = "copy or export the file again"


def read_file(path: Path) -> tuple[nib.Nifti1Header, np.ndarray]:
    """The header and the (X, Y, Z) voxels as stored, without intensity scaling.

    Raises:
        InvalidVolume: when the file is missing, truncated, corrupt, too large or no NIfTI volume of real scalars.
    """
    header, raw, _ = _read(path)
    return header, _voxels(header, raw)


def file_with_voxels(path: Path, change: Callable[[nib.Nifti1Header, np.ndarray], np.ndarray]) -> bytes:
    """The decompressed bytes of a NIfTI file with other voxels: all else, header and extensions, stays as it is.

    Args:
        path: the file.
        change: maps its header and voxels (X, Y, Z) as stored to other ones of the same type.

    Raises:
        InvalidVolume: as `read_file`.
    """
    header, raw, end = _read(path)
    voxels = change(header, _voxels(header, raw)).astype(header.get_data_dtype(), copy=False)
    return raw[: int(header["vox_offset"])] + voxels.tobytes(order="F") + raw[end:]


def _read(path: Path) -> tuple[nib.Nifti1Header, bytes, int]:
    """The header, all bytes, and where the voxels end."""
    if not path.name.endswith(SUFFIXES):
        raise InvalidVolume("not a NIfTI file name", where=path, fix="use .nii.gz or .nii")
    if not path.is_file():
        raise InvalidVolume("file not found", where=path)
    try:
        with _open(path) as stream:
            header = _header(stream.read(540), path)
        end = _checked_end(header, path)
        raw = _read_all(path, end)
    except (EOFError, OSError, zlib.error) as error:
        raise InvalidVolume(f"truncated or corrupt ({error})", where=path, fix=_COPY_AGAIN) from error
    if len(raw) < end:
        raise InvalidVolume(f"truncated: {len(raw)} of {end} bytes", where=path, fix=_COPY_AGAIN)
    return header, raw, end


def _voxels(header: nib.Nifti1Header, raw: bytes) -> np.ndarray:
    shape = header.get_data_shape()[:3]
    data = np.frombuffer(raw, header.get_data_dtype(), math.prod(shape), int(header["vox_offset"]))
    return data.reshape(shape, order="F")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _header(start: bytes, path: Path) -> nib.Nifti1Header:
    second = start[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # sizeof_hdr of NIfTI-2 is 540
    kind, size = (nib.Nifti2Header, 540) if second else (nib.Nifti1Header, 348)
    try:
        # check=False: nibabel would mend some faults silently and print about others.
        header = kind(start[:size], check=False)
        header.get_data_shape(), header.get_data_dtype(), int(header["vox_offset"])
    except Exception as error:  # nibabel raises many kinds on a damaged header
        raise InvalidVolume(f"no readable NIfTI header ({error})", where=path, fix=_COPY_AGAIN) from error
    if int(header["sizeof_hdr"]) != size or bytes(header["magic"])[:3] not in (b"n+1", b"n+2"):
        raise InvalidVolume("no NIfTI file with its header inside", where=path, fix="convert it to .nii.gz")
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # the standard's default for the handedness of the quaternion
    return header


def _checked_end(header: nib.Nifti1Header, path: Path) -> int:
    """The offset behind the last voxel, if header and file size make it plausible."""
    shape, dtype, offset = tuple(map(int, header.get_data_shape())), header.get_data_dtype(), int(header["vox_offset"])
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InvalidVolume(f"shape {shape} is not one 3D volume", where=path, fix="save one channel a file")
    if not all(1 <= n <= MAX_SIDE for n in shape) or math.prod(shape) > MAX_VOXELS:
        raise InvalidVolume(f"implausible shape {shape}", where=path)
    if dtype.kind not in "iuf":
        raise InvalidVolume(f"voxel type {dtype} is not a real number", where=path, fix="save one channel as float32")
    if not int(header["sizeof_hdr"]) + 4 <= offset <= SLACK_BYTES:
        raise InvalidVolume(f"implausible offset {offset} of the voxels", where=path, fix=_COPY_AGAIN)
    end = offset + math.prod(shape) * int(dtype.itemsize)
    size = path.stat().st_size
    possible = size * MAX_DEFLATE_RATIO if path.suffix == ".gz" else size
    if end > possible:
        found = f"truncated: the header promises {end} bytes, the file can hold {possible}"
        raise InvalidVolume(found, where=path, fix=_COPY_AGAIN)
    return end


def _read_all(path: Path, end: int) -> bytes:
    with _open(path) as stream:
        raw = stream.read(end + SLACK_BYTES)
        if stream.read(1):
            raise InvalidVolume(f"more than {SLACK_BYTES} bytes behind the voxels", where=path, fix=_COPY_AGAIN)
    return raw
