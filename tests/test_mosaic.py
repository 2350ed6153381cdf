"""Mosaics: right side up, at the right slices, for every odd case, with equal bytes for equal input."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from volumes import shared_data

from lldm_aug.data.raw import RawDataset
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import COLOURS, MosaicRow, colour_of, write_mosaic
from lldm_aug.pictures.planes import PLANES, best_slice, robust_window

AXIAL, CORONAL, SAGITTAL = PLANES
SPACING = (1.5, 1.5, 5.0)


def row(image=None, label=None, caption="case"):
    shape = (20, 16, 12)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32) if image is None else image
    if label is None:
        label = np.zeros(shape, np.int16)
        label[4:14, 4:12, 2:9] = 1
        label[8, 8, 5] = 4
    return MosaicRow(image, label, SPACING, caption)


def marked(x, y, z):
    image = np.zeros((5, 6, 7))
    image[x, y, z] = 1
    return image


def test_axial_shows_the_right_on_the_left_and_anterior_up():
    assert AXIAL.slice(marked(4, 5, 3), 3)[0, 0] == 1  # right, anterior
    assert AXIAL.slice(marked(0, 0, 3), 3)[-1, -1] == 1  # left, posterior


def test_coronal_shows_the_right_on_the_left_and_superior_up():
    assert CORONAL.slice(marked(4, 2, 6), 2)[0, 0] == 1
    assert CORONAL.slice(marked(0, 2, 0), 2)[-1, -1] == 1


def test_sagittal_shows_anterior_on_the_left_and_superior_up():
    assert SAGITTAL.slice(marked(2, 5, 6), 2)[0, 0] == 1
    assert SAGITTAL.slice(marked(2, 0, 0), 2)[-1, -1] == 1


@pytest.mark.parametrize("plane", PLANES)
def test_picture_has_its_physical_size(plane):
    image = np.zeros((5, 6, 7))
    rows, columns = plane.slice(image, 0).shape
    width, height = plane.size_mm(image.shape, (1.0, 2.0, 4.0))
    spacing = {"axial": (1, 2), "coronal": (1, 4), "sagittal": (2, 4)}[plane.name]
    assert (width, height) == (columns * spacing[0], rows * spacing[1])


def test_slice_goes_through_the_rarest_structure():
    label = np.zeros((20, 16, 12), np.int16)
    label[:, :, 0] = 1
    label[2:9, 2:9, 4:7] = 2
    label[11:13, 3:5, 8] = 4
    assert (best_slice(label, AXIAL), best_slice(label, CORONAL), best_slice(label, SAGITTAL)) == (8, 4, 12)


def test_slice_of_an_empty_mask_is_the_middle_one():
    label = np.zeros((20, 16, 12), np.int16)
    assert [best_slice(label, plane) for plane in PLANES] == [6, 8, 10]


def test_window_ignores_air_and_outliers():
    image = np.full((20, 20, 20), -1024.0)
    label = np.zeros(image.shape, np.int16)
    label[5:15, 5:15, 5:15] = 1
    image[label == 1] = np.random.default_rng(0).normal(100, 20, 1000)
    image[0, 0, 0] = 30_000
    window = robust_window(image, label)
    assert -50 < window.low < 60
    assert 140 < window.high < 250


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-20, 1e30])
@pytest.mark.parametrize("labelled", [True, False])
def test_constant_image_has_a_window(value, labelled):
    image = np.full((4, 4, 4), value, np.float32)
    window = robust_window(image, np.full(image.shape, labelled, np.int16))
    assert np.isfinite(window).all()
    assert window.high > window.low or value == 1e30


ODD = {
    "constant": row(image=np.zeros((20, 16, 12), np.float32)),
    "no label": row(label=np.zeros((20, 16, 12), np.int16)),
    "all label": row(label=np.ones((20, 16, 12), np.int16)),
    "label beyond the schema": row(label=np.full((20, 16, 12), 37, np.int16)),
    "one slice": MosaicRow(
        np.random.default_rng(0).normal(size=(8, 8, 1)), np.ones((8, 8, 1), np.int16), SPACING, "flat"
    ),
    "one voxel": MosaicRow(np.ones((1, 1, 1)), np.ones((1, 1, 1), np.int16), SPACING, "tiny"),
    "odd text": row(caption="$\\nosuch$ _ % \\ é 漢 <b>" * 3),
}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_cases_are_drawn_without_warnings(tmp_path, odd):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("error", message="No contour levels")
        write_mosaic(tmp_path / "m.png", [odd], title="odd")
    assert matplotlib.image.imread(tmp_path / "m.png").std() > 0


def test_equal_input_gives_equal_bytes_and_no_leftovers(tmp_path):
    for name in ("a.png", "b.png"):
        write_mosaic(tmp_path / name, [row(), row(caption="other")], title="Two cases")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def has_colour(path, colour):
    picture = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(picture - wanted).max(axis=-1) < 12).any())


def test_structures_present_are_outlined_in_their_colours(tmp_path):
    write_mosaic(tmp_path / "m.png", [row()], title="x")
    assert [has_colour(tmp_path / "m.png", c) for c in COLOURS[:4]] == [True, False, False, True]


def test_colours_repeat_beyond_the_palette():
    assert colour_of(1) == colour_of(len(COLOURS) + 1) == COLOURS[0]


def test_real_case(tmp_path):
    dataset = RawDataset(shared_data("Dataset801_ChaosT2"))
    case = dataset.load(dataset.case_ids[0])
    flipped = case.image[0][::-1], case.label[::-1]  # LAS to RAS
    real = MosaicRow(*flipped, case.grid.spacing_mm, case.case_id)
    write_mosaic(tmp_path / "m.png", [real], title="T2", schema=LabelSchema.from_dataset_json(dataset.description))
    assert all(has_colour(tmp_path / "m.png", c) for c in COLOURS[:1])


def test_two_rows_of_one_case_can_show_the_same_slices(tmp_path: Path) -> None:
    truth, other = np.zeros((12, 12, 12), int), np.zeros((12, 12, 12), int)
    truth[2:5, 2:5, 2:5], other[7:11, 7:11, 7:11] = 1, 1
    image = np.random.default_rng(0).normal(size=(12, 12, 12))
    alone = MosaicRow(image, other, (1, 1, 1), "x")
    beside = MosaicRow(image, other, (1, 1, 1), "x", slices_from=truth)
    for name, row in (("a", alone), ("b", beside)):
        write_mosaic(tmp_path / f"{name}.png", [row], title="t")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
