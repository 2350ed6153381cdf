"""Readers refuse what is damaged, and name it; writers are reproducible."""

from __future__ import annotations

import gzip
import resource
import struct
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes import GRID, mask, noise, shared_data

from lldm_aug.errors import InvalidVolume, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import read_image, read_label, write_nifti
from lldm_aug.volume import Volume


@pytest.fixture
def image(tmp_path):
    write_nifti(tmp_path / "image.nii.gz", noise())
    return tmp_path / "image.nii.gz"


def edited(path: Path, **fields: object) -> Path:
    """A copy of a .nii.gz file with header fields overwritten, unchecked."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    out = path.with_name("edited.nii.gz")
    out.write_bytes(gzip.compress(bytes(raw)))
    return out


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int16])
def test_round_trip(tmp_path, name, dtype):
    volume = Volume(noise().data.astype(dtype), GRID)
    write_nifti(tmp_path / name, volume)
    back = read_image(tmp_path / name)
    assert np.array_equal(back.data, volume.data)
    assert back.grid.matches(GRID)
    assert nib.load(tmp_path / name).get_data_dtype() == dtype


TURNED = [[0, 0, 3, 5], [1, 0, 0, -7], [0, -2, 0, 90], [0, 0, 0, 1]]


@pytest.mark.parametrize("affine", [np.diag([-1.5, 2, 3, 1]), TURNED])
def test_orientations_survive(tmp_path, affine):
    grid = Grid((4, 5, 6), affine)
    write_nifti(tmp_path / "a.nii.gz", noise(grid))
    assert read_image(tmp_path / "a.nii.gz").grid.matches(grid)


def test_oblique_and_sheared_affines_survive(tmp_path):
    turn = np.array([[0.9, -0.3, 0.1], [0.35, 1.1, -0.2], [0.0, 0.25, 4.0]])
    grid = Grid((6, 5, 4), np.block([[turn, np.array([[1.0], [2], [3]])], [np.zeros((1, 3)), np.ones((1, 1))]]))
    write_nifti(tmp_path / "a.nii.gz", noise(grid))
    assert read_image(tmp_path / "a.nii.gz").grid.matches(grid)


def test_outputs_are_reproducible_bytes(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", noise())
    time.sleep(1.1)  # gzip's time stamp counts seconds
    write_nifti(tmp_path / "other_name.nii.gz", noise())
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "other_name.nii.gz").read_bytes()


@pytest.mark.parametrize(("low", "high", "stored"), [(0, 255, "uint8"), (-1, 255, "int16"), (0, 40000, "int32")])
def test_wide_integers_are_stored_in_the_smallest_type(tmp_path, low, high, stored):
    data = np.full(GRID.shape, low, np.int64)
    data[0, 0, 0] = high
    write_nifti(tmp_path / "a.nii.gz", Volume(data, GRID))
    written = nib.load(tmp_path / "a.nii.gz")
    assert written.get_data_dtype() == stored
    assert np.array_equal(np.asarray(written.dataobj), data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_voxels_are_never_written(tmp_path, bad):
    volume = noise()
    volume.data[1, 2, 3] = bad
    with pytest.raises(InvalidVolume, match=r"1 voxels are NaN or infinite, the first at \(1, 2, 3\)"):
        write_nifti(tmp_path / "a.nii.gz", volume)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sixteenth", range(16))
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_truncated_volume_refused(tmp_path, sixteenth, suffix):
    path = tmp_path / f"a{suffix}"
    write_nifti(path, noise())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * sixteenth // 16])
    with pytest.raises(InvalidVolume):
        read_image(path)


@pytest.mark.parametrize("missing", [1, 4, 8])
def test_missing_end_of_gzip_refused(image, missing):
    image.write_bytes(image.read_bytes()[:-missing])
    with pytest.raises(InvalidVolume, match="truncated"):
        read_image(image)


@settings(max_examples=300, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bitflip_is_refused_or_harmless(tmp_path_factory, position, bit):
    path = tmp_path_factory.getbasetemp() / "flipped.nii.gz"
    write_nifti(path, noise())
    raw = bytearray(path.read_bytes())
    raw[int(position * len(raw))] ^= 1 << bit
    path.write_bytes(bytes(raw))
    try:
        back = read_image(path)
    except InvalidVolume:
        return
    # What no checksum covers (gzip's own header) or what stands for the same bytes (codes that are never used).
    assert np.array_equal(back.data, noise().data)
    assert back.grid.matches(noise().grid)


@settings(max_examples=300, deadline=None)
@given(start=st.integers(0, 347), junk=st.binary(min_size=1, max_size=16))
def test_fuzzed_headers_raise_only_invalid_volume(tmp_path_factory, start, junk):
    path = tmp_path_factory.getbasetemp() / "fuzzed.nii"
    write_nifti(path, noise())
    raw = bytearray(path.read_bytes())
    raw[start : start + len(junk)] = junk
    path.write_bytes(bytes(raw))
    try:
        volume = read_image(path)
    except InvalidVolume:
        return
    assert np.isfinite(volume.data).all()
    assert volume.data.shape == volume.grid.shape


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_only_invalid_volume(tmp_path_factory, raw):
    for name, content in (("a.nii", raw), ("a.nii.gz", raw), ("b.nii.gz", gzip.compress(raw))):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        with pytest.raises(InvalidVolume):
            read_image(path)


BOMBS = {
    "huge": {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]},
    "many voxels": {"dim": [3, 4096, 4096, 4096, 1, 1, 1, 1]},
    "beyond the file": {"dim": [3, 1024, 1024, 512, 1, 1, 1, 1]},
    "negative": {"dim": [3, -10, 9, 8, 1, 1, 1, 1]},
    "zero side": {"dim": [3, 10, 0, 8, 1, 1, 1, 1]},
    "no dims": {"dim": [0, 10, 9, 8, 1, 1, 1, 1]},
    "dim[0] = 9": {"dim": [9, 10, 9, 8, 1, 1, 1, 1]},
    "2-D": {"dim": [2, 10, 72, 1, 1, 1, 1, 1]},
    "7-D": {"dim": [7, 2, 2, 2, 2, 2, 2, 2]},
    "two volumes": {"dim": [4, 10, 9, 4, 2, 1, 1, 1]},
    "unknown type": {"datatype": 9999},
    "complex": {"datatype": 32},
    "RGB": {"datatype": 128},
    "offset behind the end": {"vox_offset": 1e9},
    "offset in the header": {"vox_offset": 0},
    "negative offset": {"vox_offset": -100},
    "NaN offset": {"vox_offset": np.nan},
    "magic of a pair": {"magic": b"ni1"},
    "no magic": {"magic": b"abc"},
}


@pytest.mark.parametrize("fields", BOMBS.values(), ids=BOMBS)
def test_header_bombs(image, fields):
    path = edited(image, **fields)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(InvalidVolume) as caught:
        read_image(path)
    assert time.perf_counter() - start < 0.05
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # kilobytes
    assert caught.value.where == str(path)


def test_gzip_bomb(image):
    raw = gzip.decompress(image.read_bytes())
    image.write_bytes(gzip.compress(raw) + gzip.compress(bytes(2**26)))  # 64 MiB of zeros behind the voxels
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidVolume, match="behind the voxels"):
        read_image(image)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000


def test_bomb_header_over_a_small_gzip_is_refused_before_inflating(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape((1024, 1024, 1000))
    header.set_data_dtype(np.float64)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(2**20)))
    with pytest.raises(InvalidVolume, match="the file can hold"):
        read_image(path)


def test_padding_behind_the_voxels_is_harmless(image):
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes()) + bytes(1000)))
    assert np.array_equal(read_image(image).data, noise().data)


def test_nan_is_refused_with_count_and_first_index(image):
    data = noise().data.copy()
    data[3, 1, 2:4] = np.nan, np.inf
    nib.save(nib.Nifti1Image(data, GRID.affine), image)
    with pytest.raises(InvalidVolume, match=r"2 voxels are NaN or infinite, the first at \(3, 1, 2\)"):
        read_image(image)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"srow_x": [np.nan, 0, 0, 0]}, "finite"),
        ({"srow_x": [0, 0, 0, 0], "srow_y": [0, 0, 0, 0]}, "singular"),
        ({"sform_code": 0, "qform_code": 0}, "neither sform nor qform"),
        ({"qoffset_x": 40.0}, r"sform and qform differ by up to 4\d\.\d\d mm"),
        ({"pixdim": [1, 0, 0, 0, 1, 1, 1, 1]}, "repair the header|singular"),
        ({"qform_code": 0, "pixdim": [1, 1.25, 1.5, 4.4, 1, 1, 1, 1]}, "pixdim .* differ"),
        ({"quatern_b": 3.0}, "affine"),
        ({"scl_slope": 1e38}, "infinite"),
        ({"scl_slope": np.inf}, "infinite|scaling"),
    ],
)
def test_implausible_headers(image, fields, message):
    with pytest.raises(InvalidVolume, match=message):
        read_image(edited(image, **fields))


@pytest.mark.parametrize("fields", [{"pixdim": [0, 1.25, 1.5, 4, 1, 1, 1, 1]}, {"qform_code": 0}, {"sform_code": 0}])
def test_legal_oddities_are_read(image, fields):
    volume = read_image(edited(image, **fields))
    assert volume.grid.displacement_mm(GRID) < 1e-3


def test_single_channel_in_four_dimensions_is_read(tmp_path):
    nib.save(nib.Nifti1Image(noise().data[..., None], GRID.affine), tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data, noise().data)


def test_intensity_scaling_is_applied(image):
    assert np.allclose(read_image(edited(image, scl_slope=2, scl_inter=5)).data, noise().data * 2 + 5)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_and_byte_orders_are_read(tmp_path, kind, order):
    data = (noise().data * 10).astype(np.int16)
    blank = kind.header_class(endianness=order)
    written = kind(data, GRID.affine, blank)
    written.header.set_data_dtype(np.int16)
    nib.save(written, tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data, data)


def test_constant_image_is_fine(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", Volume(np.zeros(GRID.shape, np.float32), GRID))
    assert not read_image(tmp_path / "a.nii.gz").data.any()


@pytest.mark.parametrize("name", ["gone.nii.gz", "image.mha", "folder.nii.gz"])
def test_no_such_volume(tmp_path, name):
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(InvalidVolume) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def test_empty_and_single_voxel_labels(tmp_path):
    data = np.zeros(GRID.shape, np.uint8)
    write_nifti(tmp_path / "a.nii.gz", Volume(data, GRID))
    assert not read_label(tmp_path / "a.nii.gz").data.any()
    data[1, 1, 1] = 1
    write_nifti(tmp_path / "a.nii.gz", Volume(data, GRID))
    assert read_label(tmp_path / "a.nii.gz").data.sum() == 1


@pytest.mark.parametrize(("value", "dtype"), [(0.9999, np.float32), (1 + 1e-12, np.float64), (0.5, np.float32)])
def test_fractional_labels_refused(tmp_path, value, dtype):
    data = mask().data.astype(dtype)
    data[0, 0, 0] = value
    nib.save(nib.Nifti1Image(data, GRID.affine), tmp_path / "a.nii.gz")
    with pytest.raises(LabelError, match="is no integer"):
        read_label(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("value", "dtype"), [(40000, np.uint16), (-40000, np.int32), (2**24 + 1, np.int32), (1e30, np.float64)]
)
def test_labels_beyond_16_bits_refused(tmp_path, value, dtype):
    data = mask().data.astype(dtype)
    data[0, 0, 0] = value
    nib.save(nib.Nifti1Image(data, GRID.affine), tmp_path / "a.nii.gz")
    with pytest.raises(LabelError, match="16 bits"):
        read_label(tmp_path / "a.nii.gz")


def test_integral_float_labels_are_read(tmp_path):
    nib.save(nib.Nifti1Image(mask().data.astype(np.float32), GRID.affine), tmp_path / "a.nii.gz")
    assert np.array_equal(read_label(tmp_path / "a.nii.gz").data, mask().data)


def test_real_volumes_agree_with_nibabel():
    folder = shared_data("Dataset801_ChaosT2") / "imagesTr"
    for path in sorted(folder.glob("*.nii.gz"))[:3]:
        volume, theirs = read_image(path), nib.load(path)
        assert np.array_equal(volume.data, np.asarray(theirs.dataobj, np.float32))
        assert np.allclose(volume.grid.affine, theirs.affine)


def test_real_volumes_agree_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    path = shared_data("single_mr") / "liver_t1w_spgr_fa10.nii.gz"
    ours, theirs = read_image(path), sitk.ReadImage(str(path))
    assert np.array_equal(ours.data, sitk.GetArrayFromImage(theirs).transpose(2, 1, 0))
    assert np.allclose(ours.grid.spacing_mm, theirs.GetSpacing(), atol=1e-4)
    assert np.allclose(ours.grid.affine[:3, 3] * [-1, -1, 1], theirs.GetOrigin(), atol=1e-3)


def test_header_is_one_struct(image):
    # Guards `edited`: a NIfTI-1 header begins with its own size.
    assert struct.unpack("<i", gzip.decompress(image.read_bytes())[:4]) == (348,)
