"""Checked NIfTI reading and reproducible, atomic writing.

nibabel alone loads truncated trailers, flipped bits and nonsense affines without a word; here each is `InvalidVolume`.
"""

from __future__ import annotations

import gzip
import math
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from lldm_aug.errors import InvalidVolume, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import atomic_file
from lldm_aug.volume import Volume

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


__all__ = ["SUFFIXES", "read_image", "read_label", "write_changed", "write_nifti"]

# Both forms are stored in single precision: allow for its rounding over the size of a body, but no real shift.
FORM_TOLERANCE_MM = 0.1
PIXDIM_TOLERANCE_MM = 1e-3


def read_image(path: Path) -> Volume:
    """Reads a scalar volume as float32 (X, Y, Z).

    Raises:
        InvalidVolume: when the file is missing, truncated, corrupt or too large, or its header, affine or voxels are
            not plausible and finite.
    """
    header, stored = read_file(path)
    grid = _grid(header, path)
    with np.errstate(over="ignore"):  # beyond single precision: infinite, refused below
        data = _scaled(header, stored, path).astype(np.float32)
    _check_finite(data, path)
    return Volume(data, grid)


def read_label(path: Path) -> Volume:
    """Reads a label map as int16 (X, Y, Z).

    Raises:
        InvalidVolume: as `read_image`.
        LabelError: when a value is not an integer, or beyond int16.
    """
    header, stored = read_file(path)
    grid = _grid(header, path)
    data = _scaled(header, stored, path)
    _check_finite(data, path)
    if data.dtype.kind == "f" and (wrong := data != np.rint(data)).any():
        fix = "save the mask with nearest-neighbour values"
        raise LabelError(f"label {data[wrong].flat[0]} ({wrong.sum()} such voxels) is no integer", where=path, fix=fix)
    if data.min() < -(2**15) or data.max() >= 2**15:
        raise LabelError(f"labels from {data.min()} to {data.max()} do not fit 16 bits", where=path)
    return Volume(data.astype(np.int16), grid)


def write_nifti(path: Path, volume: Volume) -> None:
    """Writes an (X, Y, Z) volume atomically; the bytes depend on nothing but its voxels and grid.

    uint8 and int16 keep their type, other integers take the smallest of uint8, int16 and int32 that holds them, floats
    become float32.

    Raises:
        InvalidVolume: for several channels, NaN, infinity, or integers beyond 32 bits.
    """
    if volume.data.ndim != 3:
        raise InvalidVolume(f"shape {volume.data.shape} is not one 3D volume", where=path)
    _check_finite(volume.data, path)
    data = np.asarray(volume.data, dtype=_stored_type(volume.data, path))
    image = nib.Nifti1Image(data, volume.grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.grid.affine, code=1)
    image.set_qform(volume.grid.affine, code=1)
    if not np.allclose(image.get_qform(), volume.grid.affine, atol=1e-3):
        image.header["qform_code"] = 0  # a quaternion cannot hold shears
    _write(path, image.to_bytes())


def write_changed(path: Path, source: Path, data: np.ndarray, changed: np.ndarray) -> None:
    """Writes another file's volume with some voxels changed, atomically; all others stay as they are, bit for bit.

    Header, data type, intensity scaling and extensions are the other file's. Values that its type cannot hold are
    rounded and clipped.

    Args:
        path: what to write.
        source: the other file.
        data: (X, Y, Z) values in the file's own units.
        changed: (X, Y, Z) booleans, True where voxels take them.

    Raises:
        InvalidVolume: for NaN or infinity, another shape, or as `read_image`.
    """
    _check_finite(data[changed], path)

    def change(header: nib.Nifti1Header, stored: np.ndarray) -> np.ndarray:
        if stored.shape != data.shape:
            raise InvalidVolume(f"shape {data.shape}, but {source.name} has {stored.shape}", where=path)
        slope, intercept = header.get_slope_inter()
        values = (data[changed].astype(np.float64) - (intercept or 0.0)) / (slope or 1.0)
        if stored.dtype.kind in "iu":
            limits = np.iinfo(stored.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        voxels = stored.copy(order="F")
        voxels[changed] = values.astype(stored.dtype)
        return voxels

    _write(path, file_with_voxels(source, change))


def _write(path: Path, raw: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(raw, compresslevel=4, mtime=0) if path.suffix == ".gz" else raw)


def _stored_type(data: np.ndarray, path: Path) -> np.dtype:
    if data.dtype in (np.uint8, np.int16):
        return data.dtype
    if data.dtype.kind not in "biu":
        return np.dtype(np.float32)
    low, high = int(data.min()), int(data.max())
    for kind in (np.uint8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    raise InvalidVolume(f"integers from {low} to {high} do not fit 32 bits", where=path)


def _scaled(header: nib.Nifti1Header, stored: np.ndarray, path: Path) -> np.ndarray:
    try:
        if np.isinf(header["scl_slope"]):  # nibabel would read it as "no scaling", which NaN and 0 stand for
            raise HeaderDataError("scl_slope is infinite")
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InvalidVolume(f"unusable intensity scaling ({error})", where=path, fix="repair the header") from error
    if (slope in (None, 1)) and not intercept:
        return stored
    with np.errstate(all="ignore"):
        return np.asarray(stored.astype(np.float64) * slope + intercept)


def _check_finite(data: np.ndarray, path: Path) -> None:
    if data.dtype.kind != "f":
        return
    bad = ~np.isfinite(data)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InvalidVolume(f"{int(bad.sum())} voxels are NaN or infinite, the first at {first}", where=path)


def _grid(header: nib.Nifti1Header, path: Path) -> Grid:
    x, y, z = header.get_data_shape()[:3]
    try:
        with warnings.catch_warnings(action="ignore"):
            grid = _grid_of_forms(header, (x, y, z))
    except InvalidVolume as error:
        raise InvalidVolume(error.what, where=path, fix=error.fix) from error
    except Exception as error:  # nibabel and NumPy raise many kinds on a damaged quaternion
        raise InvalidVolume(f"unreadable affine ({error})", where=path, fix="repair the header") from error
    zooms = np.asarray(header.get_zooms()[:3], dtype=np.float64)
    if not np.allclose(zooms, grid.spacing_mm, rtol=0, atol=PIXDIM_TOLERANCE_MM):
        found = f"pixdim {np.round(zooms, 4).tolist()} and affine spacing {np.round(grid.spacing_mm, 4).tolist()}"
        raise InvalidVolume(f"{found} differ", where=path, fix="repair the header")
    return grid


def _grid_of_forms(header: nib.Nifti1Header, shape: tuple[int, int, int]) -> Grid:
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if not sform_code and not qform_code:
        raise InvalidVolume("neither sform nor qform says where the voxels lie", fix="set the affine in the header")
    grid = Grid(shape, header.get_sform() if sform_code else header.get_qform())
    if sform_code and qform_code:
        distance = grid.displacement_mm(Grid(shape, header.get_qform()))
        if distance > FORM_TOLERANCE_MM:
            fix = "make them agree, or set the code of the wrong one to 0"
            raise InvalidVolume(f"sform and qform differ by up to {distance:.2f} mm", fix=fix)
    return grid
