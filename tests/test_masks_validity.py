"""What counts as an impossible mask."""

import numpy as np
import pytest

from lldm_aug.anatomy.limits import DEFAULT_LIMITS
from lldm_aug.anatomy.measures import component_sizes
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks.validity import is_liver_schema, mask_problems

ORGANS = LabelSchema(("liver", "right_kidney", "left_kidney", "spleen"))


def _mask() -> np.ndarray:
    mask = np.zeros((30, 30, 30), np.int16)
    mask[2:22, 2:22, 2:22] = 1
    mask[4:20, 6:8, 6:8] = 2
    mask[4:20, 14:16, 14:17] = 3
    mask[10:13, 4:6, 16:18] = 4
    return mask


def test_a_good_mask_has_no_problem() -> None:
    assert mask_problems(_mask(), HBP) == []
    assert mask_problems(_mask(), HBP, _mask()) == []


def test_an_empty_mask() -> None:
    assert mask_problems(np.zeros((4, 4, 4), np.int16), HBP) == ["the mask is empty"]


def test_a_vessel_away_from_the_liver() -> None:
    mask = _mask()
    mask[26, 26, 20:28] = 2
    assert "portal_vein lie away from the liver" in mask_problems(mask, HBP)[0]


def test_a_vessel_that_leaves_the_liver_is_fine() -> None:
    mask = _mask()
    mask[20:28, 6:8, 6:8] = 2
    assert mask_problems(mask, HBP) == []


@pytest.mark.parametrize("layers", [1, 12])
def test_too_few_or_too_many_vessels(layers: int) -> None:
    mask = _mask()
    mask[(mask == 2) | (mask == 3)] = 1
    mask[4 : 4 + layers, 4:18, 4:18] = 2
    if layers == 1:
        mask[4, 4:18, 6:18] = 1
        mask[4, 10:18, 4:6] = 1
    assert "vessels fill" in mask_problems(mask, HBP)[0]


def test_a_liver_in_two_parts() -> None:
    mask = _mask()
    mask[9:11] = 0
    assert any("of the liver is in one connected component" in p for p in mask_problems(mask, HBP))


def test_a_mask_without_liver_is_a_partial_label() -> None:
    mask = _mask()
    mask[mask == 1] = 0
    assert mask_problems(mask, HBP) == []


def test_a_structure_that_vanished_broke_up_or_shed_specks() -> None:
    for change, words in (
        ((slice(10, 13), slice(4, 6), slice(16, 18)), "hcc vanished"),
        ((slice(9, 11), slice(6, 8), slice(6, 8)), "portal_vein has 2 connected components instead of 1"),
    ):
        mask = _mask()
        mask[change] = 1
        assert mask_problems(mask, HBP, _mask()) == [words]


def test_a_lesion_that_shrank_to_a_speck() -> None:
    mask = _mask()
    mask[mask == 4] = 1
    mask[11, 5, 17] = 4
    assert mask_problems(mask, HBP, _mask()) == ["hcc has new specks of fewer than 4 voxels"]


def test_specks_of_the_source_are_not_held_against_the_mask() -> None:
    source = _mask()
    source[15, 5, 5] = 4
    assert mask_problems(source, HBP, source) == []


def test_other_organs_may_lie_where_they_like() -> None:
    assert is_liver_schema(HBP)
    assert is_liver_schema(LabelSchema(("liver", "tumour")))
    assert not is_liver_schema(ORGANS)
    assert not is_liver_schema(LabelSchema(("hcc",)))
    mask = _mask()
    mask[26:28, 26:28, 26:28] = 4
    assert mask_problems(mask, ORGANS) == []


def test_component_sizes_count_neighbours_by_corners() -> None:
    components = np.zeros((6, 6, 6), bool)
    components[0, 0, 0] = components[1, 1, 1] = components[4, 4, 4] = True
    assert component_sizes(components).tolist() == [2, 1]
    assert component_sizes(~np.ones((3, 3, 3), bool)).tolist() == []


def test_a_speck_is_a_problem_only_without_a_real_source() -> None:
    mask = _mask()
    mask[8, 18, 18] = 2
    assert mask_problems(mask, HBP) == ["portal_vein has specks"]
    assert mask_problems(mask, HBP, mask) == []


def test_a_small_lesion_is_none() -> None:
    mask = _mask()
    mask[8:10, 18, 18] = 4
    assert mask_problems(mask, HBP) == []
    mask[15, 18, 18] = 4
    assert mask_problems(mask, HBP) == ["hcc has specks"]


def test_a_broken_vessel() -> None:
    mask = _mask()
    mask[14:16, 6:8, 6:8] = 1
    assert mask_problems(mask, HBP) == ["only 71 % of portal_vein hangs together"]


def test_veins_that_touch() -> None:
    mask = _mask()
    mask[4:12, 8:14, 6:8] = 2
    assert mask_problems(mask, HBP) == []
    mask[4:12, 8:14, 8:14] = 3
    (problem,) = [p for p in mask_problems(mask, HBP) if "touch" in p]
    assert problem.startswith("portal_vein and hepatic_vein touch along")


def test_a_lesion_outside() -> None:
    mask = _mask()
    mask[22:26, 10:14, 10:14] = 4
    assert mask_problems(mask, HBP) == ["83 % of the surface of hcc lies outside the liver"]


def test_real_masks_widen_the_limits() -> None:
    rough = _mask()
    rough[14:16, 6:8, 6:8] = 1
    rough[8, 18, 18] = 2
    limits = DEFAULT_LIMITS.widened([_mask(), rough], HBP)
    assert mask_problems(rough, HBP)
    assert mask_problems(rough, HBP, limits=limits) == []
    assert (limits.touching, limits.exposed) == (DEFAULT_LIMITS.touching, DEFAULT_LIMITS.exposed)
    vessels = ("liver", "portal_vein", "hepatic_vein")
    assert DEFAULT_LIMITS.widened([_mask()], HBP) == DEFAULT_LIMITS.model_copy(update={"needed": vessels})


def test_what_all_real_masks_have_is_needed() -> None:
    without_vessels = np.where(np.isin(_mask(), [2, 3]), 1, _mask())
    assert mask_problems(without_vessels, HBP) == []
    limits = DEFAULT_LIMITS.widened([_mask()], HBP)
    assert mask_problems(without_vessels, HBP, limits=limits) == ["no portal_vein", "no hepatic_vein"]
    assert mask_problems(np.where(_mask() == 4, 1, _mask()), HBP, limits=limits) == []  # a liver may have no tumour
    some = DEFAULT_LIMITS.widened([_mask(), np.where(_mask() == 3, 1, _mask())], HBP)
    assert some.needed == ("liver", "portal_vein")


def test_tumours_made_for_a_real_mask_are_judged_by_themselves() -> None:
    mask = _mask()
    mask[10:13, 16:19, 4:7] = 4
    assert mask_problems(mask, HBP, _mask()) == ["hcc has 2 connected components instead of 1"]
    assert mask_problems(mask, HBP, _mask(), made=frozenset({"hcc"})) == []
    mask[8, 18, 18] = 4
    assert mask_problems(mask, HBP, _mask(), made=frozenset({"hcc"})) == ["hcc has specks"]


def test_lesions_that_a_real_mask_has_are_not_held_to_the_limits() -> None:
    source, hcc = _mask(), frozenset({"hcc"})
    source[8, 18, 18] = 4  # a stray voxel
    source[22:26, 10:14, 10:14] = 4  # a tumour that hangs on the liver from outside
    mask = source.copy()
    mask[10:13, 16:19, 4:7] = 4
    assert mask_problems(mask, HBP, source, made=hcc) == []
    mask[15, 18, 10] = 4
    assert mask_problems(mask, HBP, source, made=hcc) == ["hcc has specks"]
    mask[15, 18, 10] = 1
    mask[26, 10:14, 10:14] = 4  # it is another tumour now
    (problem,) = mask_problems(mask, HBP, source, made=hcc)
    assert problem.endswith("% of the surface of hcc lies outside the liver")
