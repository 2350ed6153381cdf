"""Checked NIfTI reading and reproducible, atomic writing.

nibabel alone loads truncated trailers, flipped bits and nonsense affines without a word; here each is one `InvalidVolume`.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from lldm_aug.errors import InvalidVolume, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import atomic_file
from lldm_aug.volume import Volume

MAX_SIDE = 4096
MAX_VOXELS = 2**30
MAX_DEFLATE_RATIO = 1032  # no deflate stream expands further
SLACK_BYTES = 2**20  # header extensions and padding behind the data
SUFFIXES = (".nii.gz", ".nii")
_KINDS = "biuf"


def read_image(path: Path) -> Volume:
    """Reads a scalar volume as float32 (X, Y, Z).

    Raises:
        InvalidVolume: when the file is missing, truncated, corrupt or too large, when its header, affine or voxels are not
            plausible and finite.
    """
    image = _load(path)
    data = np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
    bad = ~np.isfinite(data)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InvalidVolume(f"{int(bad.sum())} voxels are NaN or infinite, the first at {first}", where=path)
    return Volume(data, _grid(image, path))


def read_label(path: Path) -> Volume:
    """Reads a label map as int16 (X, Y, Z).

    Raises:
        InvalidVolume: as `read_image`.
        LabelError: when a value is not an integer, or beyond int16.
    """
    volume = read_image(path)
    rounded = np.rint(volume.data)
    if np.any(rounded != volume.data):
        value = volume.data[rounded != volume.data].flat[0]
        raise LabelError(f"label {value:g} is not an integer", where=path, fix="save the mask with nearest-neighbour values")
    if rounded.size and (rounded.min() < -32768 or rounded.max() > 32767):
        raise LabelError("labels beyond 16 bits", where=path)
    return Volume(rounded.astype(np.int16), volume.grid)


def write_nifti(path: Path, volume: Volume) -> None:
    """Writes an (X, Y, Z) volume atomically; the bytes depend on nothing but its voxels and grid.

    Integer arrays keep their type if NIfTI and nnU-Net take it (uint8, int16), floats become float32.
    """
    dtype = volume.data.dtype if volume.data.dtype in (np.uint8, np.int16) else np.dtype(np.float32)
    image = nib.Nifti1Image(np.ascontiguousarray(volume.data, dtype=dtype), volume.grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.grid.affine, code=1)
    image.set_qform(volume.grid.affine, code=1)
    raw = image.to_bytes()
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(raw, compresslevel=4, mtime=0) if path.suffix == ".gz" else raw)


def _load(path: Path) -> nib.Nifti1Image:
    if not path.name.endswith(SUFFIXES):
        raise InvalidVolume("not a NIfTI file name", where=path, fix="use .nii.gz or .nii")
    if not path.is_file():
        raise InvalidVolume("file not found", where=path)
    try:
        needed = _checked_size(path)
        raw = _read_all(path, needed)
    except (EOFError, OSError, zlib.error) as error:
        raise InvalidVolume(f"truncated or corrupt ({error})", where=path, fix="copy or export the file again") from error
    if len(raw) < needed:
        raise InvalidVolume(f"truncated: {len(raw)} of {needed} bytes", where=path, fix="copy or export the file again")
    return _header_class(raw)[1].from_bytes(raw)


def _open(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header_class(start: bytes) -> tuple[type[nib.Nifti1Header], type[nib.Nifti1Image]]:
    second = start[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # sizeof_hdr of NIfTI-2 is 540
    return (nib.Nifti2Header, nib.Nifti2Image) if second else (nib.Nifti1Header, nib.Nifti1Image)


def _checked_size(path: Path) -> int:
    """Bytes that the header promises, after it has been found plausible; reads no voxels."""
    with _open(path) as stream:
        start = stream.read(544)
    try:
        header = _header_class(start)[0].from_fileobj(io.BytesIO(start))
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
        offset = int(header["vox_offset"])
    except Exception as error:  # nibabel raises many kinds on a damaged header
        raise InvalidVolume(f"no readable NIfTI header ({error})", where=path) from error
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InvalidVolume(f"shape {shape} is not one 3D volume", where=path, fix="save one channel a file")
    if not all(1 <= n <= MAX_SIDE for n in shape) or np.prod([float(n) for n in shape]) > MAX_VOXELS:
        raise InvalidVolume(f"implausible shape {shape}", where=path)
    if dtype.kind not in _KINDS or dtype.fields is not None:
        raise InvalidVolume(f"voxel type {dtype} is not a real scalar", where=path)
    needed = offset + int(np.prod(shape)) * dtype.itemsize
    size = path.stat().st_size
    possible = size * MAX_DEFLATE_RATIO if path.suffix == ".gz" else size
    if offset < 0 or needed > possible:
        raise InvalidVolume(f"truncated: the header promises {needed} bytes, the file can hold {possible}", where=path)
    return needed


def _read_all(path: Path, needed: int) -> bytes:
    """The whole stream: only its end holds the checksum."""
    with _open(path) as stream:
        raw = stream.read(needed + SLACK_BYTES)
        if stream.read(1):
            raise InvalidVolume(f"more than {SLACK_BYTES} bytes behind the voxels", where=path)
    return raw


def _grid(image: nib.Nifti1Image, path: Path) -> Grid:
    header = image.header
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code == 0 and qform_code == 0:
        raise InvalidVolume(
            "neither sform nor qform says where the voxels lie", where=path, fix="set the affine, for instance with nibabel"
        )
    try:
        grid = Grid(image.shape[:3], image.affine)
        if sform_code and qform_code:
            _check_forms_agree(grid, header, path)
    except InvalidVolume as error:
        raise InvalidVolume(error.what, where=path, fix=error.fix) from error
    except Exception as error:  # nibabel on a damaged quaternion
        raise InvalidVolume(f"unreadable affine ({error})", where=path) from error
    zooms = np.asarray(header.get_zooms()[:3], dtype=np.float64)
    if not np.allclose(zooms, grid.spacing_mm, rtol=0, atol=1e-3):
        raise InvalidVolume(
            f"pixdim {np.round(zooms, 4).tolist()} and affine spacing {np.round(grid.spacing_mm, 4).tolist()} differ",
            where=path,
            fix="repair the header",
        )
    return grid


def _check_forms_agree(grid: Grid, header: nib.Nifti1Header, path: Path) -> None:
    distance = grid.displacement_mm(Grid(grid.shape, header.get_qform()))
    # Both are stored in single precision: allow for its rounding over the size of a body, but no real shift.
    if distance > 0.1:
        raise InvalidVolume(
            f"sform and qform differ by up to {distance:.2f} mm", where=path, fix="make them agree, or zero the code of one"
        )
