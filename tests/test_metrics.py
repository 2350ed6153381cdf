"""Surfaces, centre lines and lesions against closed forms and MONAI."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from lldm_aug.anatomy.tumour_sizes import ball_volume_mm3
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.metrics.dice import cl_dice
from lldm_aug.metrics.lesion_detection import ANY_SIZE, Detection, detect, size_class
from lldm_aug.metrics.score import METRICS, score_case, surface_agreement
from lldm_aug.seeds import numpy_rng

SPACING = (2.0, 1.0, 3.0)


def empty(shape: tuple[int, int, int] = (20, 12, 12)) -> np.ndarray:
    return np.zeros(shape, bool)


def ball(radius: float, centre: tuple[float, ...], shape: tuple[int, int, int] = (24, 24, 24)) -> np.ndarray:
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2


def plate(start: int) -> np.ndarray:
    structure = empty()
    structure[start, :, :] = True
    return structure


@pytest.mark.parametrize(("tolerance_mm", "nsd"), [(5.9, 0.0), (6.0, 1.0)])
def test_plates_three_voxels_apart_are_six_millimetres_apart(tolerance_mm: float, nsd: float) -> None:
    found = surface_agreement(plate(4), plate(7), SPACING, tolerance_mm)
    assert (found.nsd, found.hd95_mm) == (nsd, 6.0)


def test_a_few_stray_voxels_do_not_move_hd95_but_take_their_share_of_nsd() -> None:
    stray = plate(4)
    stray[12, 0, :4] = True
    found = surface_agreement(stray, plate(4), SPACING, 1.0)
    assert found.hd95_mm == 0
    assert found.nsd == pytest.approx((144 + 144) / (148 + 144))


def test_identical_structures_agree_and_the_order_does_not_matter() -> None:
    a, b = ball(6, (11, 11, 11)), ball(5, (12, 11, 10))
    assert surface_agreement(a, a, SPACING, 0.0).nsd == 1
    assert surface_agreement(a, b, SPACING, 2.0) == surface_agreement(b, a, SPACING, 2.0)


def test_surfaces_agree_with_monai() -> None:
    a, b = ball(6, (11, 12, 11)), ball(5, (13, 11, 10)) | ball(2, (3, 3, 3))
    pair = [torch.from_numpy(m)[None, None] for m in (a, b)]
    hd95 = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=SPACING)
    nsd = compute_surface_dice(*pair, class_thresholds=[2.5], include_background=True, spacing=SPACING)
    found = surface_agreement(a, b, SPACING, 2.5)
    assert found.hd95_mm == pytest.approx(float(hd95))
    assert found.nsd == pytest.approx(float(nsd))


def test_a_lone_structure_is_as_far_off_as_the_grid_is_long() -> None:
    found = surface_agreement(plate(3), empty(), SPACING, 100.0)
    assert found.nsd == 0
    assert found.hd95_mm == pytest.approx(math.hypot(40, 12, 36))
    assert math.isnan(surface_agreement(empty(), empty(), SPACING, 1.0).nsd)


def tube(length: int, offset: int = 0) -> np.ndarray:
    structure = empty((30, 12, 12))
    structure[:length, 4 + offset : 7 + offset, 4:7] = True
    return structure


def test_a_thinner_vessel_on_the_same_course_is_found_whole() -> None:
    thin = tube(30)
    thin[:, 4], thin[:, 6] = False, False
    assert cl_dice(thin, tube(30)) == 1


def test_half_a_vessel_has_all_precision_and_half_the_recall() -> None:
    assert cl_dice(tube(15), tube(30)) == pytest.approx(2 / 3, abs=0.04)


def test_a_vessel_beside_its_course_is_missed() -> None:
    assert cl_dice(tube(30, offset=4), tube(30)) == 0
    assert cl_dice(empty(), tube(3)) == 0
    assert math.isnan(cl_dice(empty(), empty()))


@pytest.mark.parametrize("sides", [(2, 2, 2), (2, 2, 20), (4, 4, 20), (6, 6, 20), (2, 3, 9), (1, 1, 1)])
def test_tubes_of_even_thickness_have_a_course_too(sides: tuple[int, int, int]) -> None:
    """Of some of these thinning leaves nothing; a short one of them finds part of a long one's course."""
    whole = np.zeros((10, 10, 40), bool)
    whole[2 : 2 + sides[0], 2 : 2 + sides[1], 5 : 5 + sides[2]] = True
    assert cl_dice(whole, whole) == 1
    longer = whole.copy()
    longer[2 : 2 + sides[0], 2 : 2 + sides[1], 5 : 5 + 2 * sides[2]] |= sides[2] > 2
    if sides[2] > 2:
        assert 0.5 < cl_dice(whole, longer) < 0.85


def test_a_component_that_thinning_loses_counts_beside_one_that_it_keeps() -> None:
    truth = np.zeros((20, 20, 30), bool)
    truth[2:5, 2:5, 5:25] = True
    truth[12:14, 12:14, 5:25] = True
    kept = truth.copy()
    kept[12:14] = False
    assert cl_dice(kept, truth) < 0.9


def test_lesions_are_counted_by_their_own_size() -> None:
    truth = ball(8, (10, 10, 10)) | ball(2, (21, 21, 21))
    prediction = ball(7, (10, 10, 10)) | ball(3, (2, 21, 21))
    found = detect(prediction, truth, (1.0, 1.0, 1.0))
    assert found["10 to 20"] == Detection(true=1, found=1, predicted=1, right=1)
    assert found["below 10"] == Detection(true=1, found=0, predicted=1, right=0)
    whole = found[ANY_SIZE]
    assert (whole.recall, whole.precision, whole.f1) == (0.5, 0.5, 0.5)


def test_one_find_across_two_lesions_finds_one_of_them() -> None:
    truth, prediction = empty(), empty()
    truth[2:5, 4:8, 4:8] = truth[6:9, 4:8, 4:8] = True
    prediction[2:9, 4:8, 4:8] = True
    found = detect(prediction, truth, (1.0, 1.0, 1.0))[ANY_SIZE]
    assert (found.true, found.found, found.predicted, found.right) == (2, 1, 1, 1)


def test_a_touch_is_no_find() -> None:
    truth, prediction = empty(), empty()
    truth[2:10], prediction[9:17] = True, True
    found = detect(prediction, truth, (1.0, 1.0, 1.0))[ANY_SIZE]
    assert (found.found, found.f1) == (0, 0.0)


def test_no_lesions_and_no_finds_is_nothing() -> None:
    assert math.isnan(detect(empty(), empty(), SPACING)[ANY_SIZE].f1)
    assert detect(plate(3), empty(), SPACING)[ANY_SIZE].f1 == 0


@pytest.mark.parametrize(
    ("diameter_mm", "name"), [(9.99, "below 10"), (10.01, "10 to 20"), (20.01, "20 to 50"), (50.01, "from 50")]
)
def test_sizes_are_diameters_of_balls(diameter_mm: float, name: str) -> None:
    assert size_class(ball_volume_mm3(diameter_mm)) == name


def test_a_case_has_a_score_for_every_structure() -> None:
    truth = numpy_rng("blocks", 0).integers(0, 4, (8, 8, 8))
    prediction = truth.copy()
    prediction[truth == 3] = 0
    liver, portal, hepatic, hcc = score_case(prediction, truth, HBP, SPACING, 2.0, lesions=["hcc"])
    assert (liver.empty, hepatic.empty, hcc.empty) == ("", "prediction", "both")
    assert liver.metrics["dice"] == liver.metrics["nsd"] == portal.metrics["cl_dice"] == 1
    assert liver.metrics["cl_dice"] is None
    assert (hepatic.metrics["dice"], hepatic.metrics["cl_dice"]) == (0, 0)
    assert hcc.metrics == dict.fromkeys(METRICS)
    assert hcc.lesions[ANY_SIZE] == (0, 0, 0, 0)


def test_lesions_are_what_the_data_set_says() -> None:
    schema = LabelSchema(("myocardium", "infarct"))
    truth = numpy_rng("blocks", 1).integers(0, 3, (8, 8, 8))
    wall, infarct = score_case(truth, truth, schema, SPACING, 2.0, lesions=["infarct"])
    assert wall.metrics["lesion_f1"] is None
    assert infarct.metrics["lesion_f1"] == 1


def test_what_is_ignored_or_not_annotated_does_not_count() -> None:
    schema = LabelSchema(("liver", "hcc"), ignore=3)
    truth, prediction = np.ones((6, 6, 6), int), np.ones((6, 6, 6), int)
    truth[3:], prediction[3:] = 3, 2
    liver, hcc = score_case(prediction, truth, schema, SPACING, 1.0, unknown=("hcc",), lesions=["hcc"])
    assert liver.metrics["dice"] == liver.metrics["nsd"] == 1
    assert (hcc.empty, set(hcc.metrics.values())) == ("not annotated", {None})
