"""Cases to the generator's grid and back."""

import numpy as np
import pytest
from volumes import shared_data

from lldm_aug.data.conform import Frame, compression_for, fitting_spacing
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.resample import inside
from lldm_aug.geometry import Grid
from lldm_aug.volume import Volume


def lps_case() -> Volume:
    """A labelled box on an LPS grid with thick slices."""
    affine = np.diag([-1.5, -1.5, 6.0, 1.0])
    label = np.zeros((40, 36, 12), np.int16)
    label[8:20, 10:30, 3:9] = 1
    return Volume(label, Grid((40, 36, 12), affine))


def test_frame_that_covers_the_case_returns_all_of_it() -> None:
    case = lps_case()
    frame = Frame.around(case, (32, 32, 16), (2.0, 2.0, 6.0))
    assert frame.native_view().matches(case.grid)
    back = frame.label_out(frame.label_in(case.data))
    assert back.shape == case.data.shape
    assert 2 * ((back == 1) & (case.data == 1)).sum() / ((back == 1).sum() + (case.data == 1).sum()) > 0.95


def test_image_comes_back_smoothly() -> None:
    case = lps_case()
    x, y, z = np.meshgrid(*(np.linspace(0, 1, n) for n in case.grid.shape), indexing="ij")
    image = (x + 2 * y + 3 * z)[None].astype(np.float32)
    frame = Frame.around(case, (32, 32, 16), (2.0, 2.0, 6.0))
    back = frame.image_out(frame.image_in(image))
    np.testing.assert_allclose(back[:, 3:-3, 3:-3, 1:-1], image[:, 3:-3, 3:-3, 1:-1], atol=0.02)


def test_frame_smaller_than_the_case_follows_the_structures() -> None:
    case = lps_case()
    frame = Frame.around(case, (16, 16, 8), (2.0, 2.0, 6.0))
    assert (frame.label_in(case.data) == 1).sum() * 24 == pytest.approx((case.data == 1).sum() * 13.5, rel=0.25)
    view = frame.native_view()
    assert all(a <= b for a, b in zip(view.shape, case.grid.shape, strict=True))
    assert frame.image_out(np.zeros((2, 16, 16, 8), np.float32)).shape == (2, *view.shape)


def test_outside_of_the_case_counts_as_exactly_zero() -> None:
    frame = Frame.around(lps_case(), (64, 32, 16), (2.0, 2.0, 6.0))
    share = frame.share_in(np.zeros((40, 36, 12), bool))
    assert share[0, 16, 8] == 1
    assert share[32, 16, 8] == 0


def test_a_whole_case_keeps_its_voxels_and_is_padded_on_both_sides() -> None:
    case = lps_case()
    image = np.random.default_rng(0).normal(size=(1, *case.grid.shape)).astype(np.float32)
    frame = Frame.whole(case.grid, (1.505, 1.5, 6.0), (32, 48, 16), (4, 4, 1))
    assert frame.grid.shape == (40, 48, 16)
    covered = frame.covered()
    assert covered == (slice(0, 40), slice(6, 42), slice(2, 14))
    native = image[:, ::-1, ::-1]  # right and anterior first
    np.testing.assert_allclose(frame.image_in(image)[:, *covered], native, atol=1e-5)
    assert np.array_equal(frame.label_in(case.data)[covered], case.data[::-1, ::-1])
    assert np.array_equal(frame.label_out(frame.label_in(case.data)), case.data)


def test_a_whole_case_of_another_spacing_is_resampled_from_edge_to_edge() -> None:
    case = lps_case()
    frame = Frame.whole(case.grid, (3.0, 2.0, 6.0), (8, 8, 8), (4, 4, 4))
    assert frame.grid.shape == (20, 28, 12)
    assert frame.grid.spacing_mm == pytest.approx((3.0, 2.0, 6.0))
    np.testing.assert_allclose(frame.grid.crop((0, 0, 0), (20, 27, 12)).centre_mm, case.grid.centre_mm, atol=1e-6)
    assert frame.covered() == (slice(0, 20), slice(0, 27), slice(0, 12))
    assert frame.native_view().matches(case.grid)


def test_a_whole_case_loses_no_voxel_at_its_border() -> None:
    grid = Grid.regular((10, 10, 10), (1.0, 1.0, 1.0))
    frame = Frame.whole(grid, (4.0, 4.0, 4.0), (1, 1, 1), (1, 1, 1))
    assert frame.grid.shape == (3, 3, 3)
    assert inside(frame.grid, grid).all()


def test_spacing_covers_the_largest_case_but_is_never_finer_than_the_data() -> None:
    grids = [Grid.regular((100, 80, 20), (1, 1, 8)), Grid.regular((120, 60, 20), (1, 1, 8))]
    assert fitting_spacing(grids, (64, 64, 32)) == (1.875, 1.25, 8.0)


@pytest.mark.parametrize(
    ("spacing", "factors"),
    [((1, 1, 1), (4, 4, 4)), ((1.25, 1.25, 7.7), (4, 4, 1)), ((4, 4, 8.66), (4, 4, 2)), ((4, 4, 4.5), (4, 4, 4))],
)
def test_compression_follows_the_spacing(spacing: tuple[float, float, float], factors: tuple[int, int, int]) -> None:
    assert compression_for(spacing) == factors


@pytest.mark.slow
def test_real_ct_labels_survive_the_way_to_the_grid_and_back() -> None:
    case = RawDataset(shared_data("Dataset802_IrcadCT")).load("ircadb1_01")
    frame = Frame.around(Volume(case.label, case.grid), (160, 136, 116), (1.5, 1.5, 1.6))
    back = frame.label_out(frame.label_in(case.label))
    for value, least in ((1, 0.98), (2, 0.8), (3, 0.8), (4, 0.97)):  # 0.57 mm in plane becomes 1.5 mm
        both = ((back == value) & (case.label == value)).sum()
        assert 2 * both / ((back == value).sum() + (case.label == value).sum()) > least
