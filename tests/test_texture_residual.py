"""Residual noise that is put back is residual noise that was lost."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lldm_aug.models.texture import ResidualNoise, high_pass_within, measure_residual_noise
from lldm_aug.seeds import numpy_rng

SHAPE = (40, 36, 32)


def regions() -> np.ndarray:
    """Two structures in a background."""
    label = np.zeros(SHAPE, dtype=np.int16)
    label[5:35, 5:30, 4:28] = 1
    label[16:31, 8:27, 8:25] = 2
    return label


@pytest.mark.parametrize("correlation", [(0.0, 0.0, 0.0), (0.5, 0.2, 0.0), (-0.2, 0.0, 0.55)])
def test_measured_grain_is_the_grain_that_was_added(correlation: tuple[float, float, float]) -> None:
    """Strength in each region and correlation along each axis come back."""
    label = regions()
    added = ResidualNoise(deviation=((0.02, 0.1, 0.05),), correlation=correlation)
    smooth = gaussian_filter(numpy_rng(1).standard_normal((1, *SHAPE)), (0, 6, 6, 6))
    image = smooth + added.draw(numpy_rng(2), label)
    found = measure_residual_noise(image, smooth, label, np.ones(SHAPE, dtype=bool), 2)
    assert found.deviation[0] == pytest.approx(added.deviation[0], rel=0.08)
    assert found.correlation == pytest.approx(correlation, abs=0.06)


def test_slow_errors_of_a_reconstruction_are_no_residual_noise() -> None:
    """A wrong shading of the whole image adds nothing."""
    label = regions()
    slow = gaussian_filter(numpy_rng(3).standard_normal((1, *SHAPE)), (0, 8, 8, 8))
    found = measure_residual_noise(slow / slow.std(), np.zeros((1, *SHAPE)), label, np.ones(SHAPE, dtype=bool), 2)
    assert max(found.deviation[0]) < 0.05


def test_grain_restores_the_high_pass_deviation_of_a_smoothed_image() -> None:
    """The aim of it all: fine structure as strong as before."""
    label = np.ones(SHAPE, dtype=np.int16)
    real = ResidualNoise(deviation=((0.0, 0.2),), correlation=(0.3, 0.3, 0.1)).draw(numpy_rng(4), label)
    blurred = gaussian_filter(real, (0, 2, 2, 2))
    residual_noise = measure_residual_noise(real, blurred, label, label > 0, 1)
    again = blurred + residual_noise.draw(numpy_rng(5), label)
    fine = [float(high_pass_within(x[0], label > 0).std()) for x in (real, blurred, again)]
    assert fine[1] < 0.2 * fine[0]
    assert fine[2] == pytest.approx(fine[0], rel=0.05)


def test_texture_that_the_decoder_makes_up_is_not_replaced_twice() -> None:
    """A reconstruction as lively as the image needs no residual noise, though none of its texture is the image's."""
    label = np.ones(SHAPE, dtype=np.int16)
    image, reconstruction = (numpy_rng(seed).standard_normal((1, *SHAPE)) * 0.1 for seed in (7, 8))
    assert max(measure_residual_noise(image, reconstruction, label, label > 0, 1).deviation[0]) < 0.03
    halved = measure_residual_noise(image, reconstruction / 2, label, label > 0, 1)
    assert halved.deviation[0][1] == pytest.approx(0.1 * 0.75**0.5, rel=0.05)


def test_edges_that_a_reconstruction_missed_are_no_residual_noise() -> None:
    """A blurred border of a structure adds nothing to its inside."""
    label = np.zeros(SHAPE, dtype=np.int16)
    label[tuple(slice(n // 4, -n // 4) for n in SHAPE)] = 1
    image = np.where(label > 0, 1.0, -1.0)[None]
    blurred = gaussian_filter(image, (0, 0.7, 0.7, 0.7))
    assert measure_residual_noise(image, blurred, label, label >= 0, 1).deviation[0][1] < 0.02


def test_anatomy_without_a_label_is_no_residual_noise() -> None:
    """Edges in the background, however many, do not make it noisier than the structures are."""
    label = regions()
    rng = numpy_rng(9)
    stripes = np.where((label == 0) & (np.arange(SHAPE[0]) % 4 < 2)[:, None, None], 1.0, 0.0)
    image = (stripes + 0.05 * rng.standard_normal(SHAPE))[None]
    found = measure_residual_noise(image, np.zeros_like(image), label, np.ones(SHAPE, dtype=bool), 2)
    assert 0.04 < found.deviation[0][0] < 0.06 < 0.3 < image[0][label == 0].std()


def test_a_sample_of_other_anatomy_lacks_no_more_than_the_noise() -> None:
    """Correlation is not that of the difference, which is anatomy, but that of the noise."""
    label = np.ones(SHAPE, dtype=np.int16)
    real, sample = (
        0.05 * gaussian_filter(numpy_rng(seed).standard_normal((1, *SHAPE)), (0, 3, 3, 3)) for seed in (1, 2)
    )
    noise = ResidualNoise(deviation=((0.0, 0.025),), correlation=(0.2, 0.0, 0.1)).draw(numpy_rng(3), label)
    found = measure_residual_noise(real + noise, sample, label, label > 0, 1, (0.2, 0.0, 0.1))
    assert found.correlation == (0.2, 0.0, 0.1)
    assert found.deviation[0][1] == pytest.approx(0.025, rel=0.05)


def test_one_small_lesion_does_not_decide_for_the_whole_image() -> None:
    """Where nothing else is labelled, and it is livelier than in the data, the rest keeps its residual noise."""
    label = np.zeros(SHAPE, dtype=np.int16)
    label[10:18, 10:18, 10:18] = 1
    image = 0.05 * numpy_rng(4).standard_normal((1, *SHAPE))
    shown = np.where(label == 1, 0.2, 0.0) * numpy_rng(5).standard_normal((1, *SHAPE))
    assert measure_residual_noise(image, shown, label, label >= 0, 1).deviation[0] == pytest.approx(
        (0.05, 0.0), rel=0.1
    )


def test_regions_without_voxels_take_the_common_strength() -> None:
    """A structure that a case lacks still has a number."""
    label = regions()
    image = numpy_rng(6).standard_normal((2, *SHAPE)) * 0.1
    found = measure_residual_noise(image, np.zeros_like(image), label, label > 0, 3)
    assert [len(channel) for channel in found.deviation] == [4, 4]
    assert found.deviation[0][3] == pytest.approx(0.1, rel=0.05)
