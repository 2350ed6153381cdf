"""Scaling there and back, and exact zeros."""

import numpy as np
import pytest

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.intensity import (
    IntensityModel,
    Scale,
    background,
    common_scale,
    likely_foreground,
    measure_scale,
    scales_by_dataset,
)


def image() -> np.ndarray:
    """Two channels with exact zeros in a corner."""
    data = np.random.default_rng(0).integers(50, 1000, (2, 12, 12, 12)).astype(np.float32)
    data[:, :3] = 0
    return data


def model(**changes: object) -> IntensityModel:
    """A model of one case with intensities 0..1000."""
    fields = {
        "scales": (Scale(low=(0.0,), high=(1000.0,)),),
        "limit": 1.5,
        "minimum": (0.0,),
        "maximum": (1000.0,),
        "integer": True,
        "zero_background": True,
    }
    return IntensityModel(**(fields | changes))


def test_percentiles_leave_out_exact_zeros() -> None:
    scale = measure_scale(image(), IntensitySettings(percentiles=(0, 100)))
    assert min(scale.low) >= 50


def test_scaling_comes_back() -> None:
    scale = measure_scale(image(), IntensitySettings(percentiles=(0, 100)))
    np.testing.assert_allclose(scale.invert(scale.apply(image(), 10)), image(), atol=1e-2)


def test_constant_image_scales_without_warning() -> None:
    scale = measure_scale(np.full((1, 4, 4, 4), 7.0), IntensitySettings())
    assert np.isfinite(scale.apply(np.full((1, 4, 4, 4), 7.0), 1.5)).all()


def test_restored_background_is_exactly_zero_and_whole_numbers_stay_whole() -> None:
    foreground = np.zeros((4, 4, 4), bool)
    foreground[1:3] = True
    out = model().restore(np.full((1, 4, 4, 4), 0.1234), foreground, model().scales[0])
    assert out.dtype == np.int16
    assert (out[0][~foreground] == 0).all()
    assert (out[0][foreground] == 562).all()


@pytest.mark.parametrize("integer", [True, False])
def test_the_darkest_tissue_is_not_exactly_zero(integer: bool) -> None:
    """Exact zeros are air, by nnU-Net's rule."""
    foreground = np.zeros((4, 4, 4), bool)
    foreground[1:3] = True
    out = model(integer=integer).restore(np.full((1, 4, 4, 4), -1.5), foreground, model().scales[0])
    assert np.array_equal(out[0] != 0, foreground)
    assert out.max() <= 1


def test_restored_intensities_stay_in_the_real_range() -> None:
    out = model().restore(np.full((1, 2, 2, 2), 1.5), np.ones((2, 2, 2), bool), model().scales[0])
    assert out.max() == 1000


def test_without_zeros_in_the_data_none_are_made() -> None:
    out = model(zero_background=False).restore(np.zeros((1, 2, 2, 2)), np.zeros((2, 2, 2), bool), model().scales[0])
    assert (out == 500).all()


def test_background_is_zero_in_every_channel() -> None:
    data = image()
    data[0, 5, 5, 5] = 0
    np.testing.assert_array_equal(background(data), data.sum(0) == 0)


@pytest.mark.parametrize(("names", "common"), [(("CT",), True), (("HBP",), False), (("CT", "MR"), False)])
def test_ct_is_scaled_alike(names: tuple[str, ...], common: bool) -> None:
    assert scales_by_dataset(IntensitySettings(), names) is common


def test_sure_zeros_are_made_where_they_are() -> None:
    logit = np.full((4, 4, 4), 9.0)
    logit[:2] = -9.0
    np.testing.assert_array_equal(likely_foreground(logit), logit > 0)


def test_scattered_zeros_come_in_the_expected_number_and_the_surest_place() -> None:
    logit = np.full((10, 10, 10), 9.0)
    logit[:5] = np.log(2)  # two voxels in three are not zero
    logit[0] = 0.0
    foreground = likely_foreground(logit)
    assert (~foreground).sum() == round(400 / 3 + 50)
    assert not foreground[0].any()
    assert foreground[5:].all()


def test_common_scale_is_the_mean() -> None:
    assert common_scale([Scale(low=(0.0,), high=(2.0,)), Scale(low=(2.0,), high=(4.0,))]) == Scale(
        low=(1.0,), high=(3.0,)
    )
