"""Shapes of many phantoms against the figures measured on real livers."""

import numpy as np
import pytest
from phantoms import (
    ANY_NEIGHBOUR,
    HEPATIC,
    PORTAL,
    SEEDS,
    TUMOUR,
    anatomy,
    assert_shapes_of_people,
    labels,
    tumour_sizes_mm,
    vessel_share,
    volume_ml,
)
from scipy.ndimage import binary_dilation, label

from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom import DEFAULT_GRID, phantom_labels

FINE = Grid.regular((208, 168, 144), (1.5, 1.5, 1.5))


def test_liver_volumes_are_those_of_people() -> None:
    volumes = [volume_ml(labels(seed) > 0) for seed in SEEDS]
    assert min(volumes) > 950
    assert max(volumes) < 3400
    assert 1300 < np.median(volumes) < 1800
    assert np.std(volumes) > 200


def test_vessels_fill_the_share_that_they_do_in_people() -> None:
    share = [np.isin(labels(seed), (2, 3)).sum() / (labels(seed) > 0).sum() for seed in SEEDS]
    assert min(share) > 0.01
    assert max(share) < 0.08
    assert 0.02 < np.median(share) < 0.04


def test_portal_to_hepatic_is_about_forty_to_sixty() -> None:
    share = [(labels(s) == 2).sum() / np.isin(labels(s), (2, 3)).sum() for s in SEEDS]
    assert 0.35 < np.median(share) < 0.5
    assert min(share) > 0.2
    assert max(share) < 0.65


def test_each_tree_and_the_liver_are_one_component_on_the_grid() -> None:
    for seed in SEEDS:
        mask = labels(seed)
        assert [label(part, ANY_NEIGHBOUR)[1] for part in (mask > 0, mask == 2, mask == 3)] == [1, 1, 1]


def test_trees_do_not_share_a_voxel_face() -> None:
    for seed in SEEDS:
        assert not np.any(binary_dilation(labels(seed) == 2) & (labels(seed) == 3))


def test_nought_to_eight_tumours_of_many_sizes() -> None:
    tumours = [anatomy(seed).tumours for seed in SEEDS]
    diameters = [2 * float(np.mean(t.radii_mm)) for group in tumours for t in group]
    assert max(len(group) for group in tumours) <= 8
    assert len({len(group) for group in tumours}) >= 4
    assert min(diameters) > 4
    assert max(diameters) < 140
    assert 10 < np.median(diameters) < 40


def test_tumours_lie_in_the_liver_clear_of_vessels_and_leave_a_mark() -> None:
    for seed in SEEDS:
        person = anatomy(seed)
        vessels = np.concatenate([person.vessels.portal.points_mm, person.vessels.hepatic.points_mm])
        radii = np.concatenate([person.vessels.portal.radii_mm, person.vessels.hepatic.radii_mm])
        for tumour in person.tumours:
            assert person.liver(*np.array(tumour.centre_mm).reshape(3, 1)) < 0
            assert np.all(tumour(*vessels.T) > radii)
        assert (labels(seed) == 4).any() == bool(person.tumours)


def test_a_seed_is_one_anatomy_on_any_grid() -> None:
    fine = Grid.regular((96, 96, 64), (3.3, 3.3, 3.3), (50.0, -20.0, 900.0))
    for seed in range(3):
        other = phantom_labels(seed, fine)
        assert np.isclose(volume_ml(other > 0, fine), volume_ml(labels(seed) > 0), rtol=0.02)
        assert np.isclose(volume_ml(other == 4, fine), volume_ml(labels(seed) == 4), rtol=0.05, atol=1)


def test_axes_of_the_grid_only_reorder_the_voxels() -> None:
    affine = DEFAULT_GRID.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] += DEFAULT_GRID.affine[:3, :3] @ (np.array(DEFAULT_GRID.shape) - 1) * [1, 1, 0]
    flipped = phantom_labels(0, Grid(DEFAULT_GRID.shape, affine))
    different = np.mean(flipped[::-1, ::-1] != labels(0))  # voxel centres on a border may round either way
    assert different < 1e-3


def test_the_liver_lies_right_and_its_left_lobe_crosses_the_midline() -> None:
    for seed in SEEDS:
        x = DEFAULT_GRID.to_mm(np.argwhere(labels(seed) > 0))[:, 0]
        assert np.median(x) > 20
        assert x.min() < -10


def test_seeds_differ() -> None:
    assert len({labels(seed).tobytes() for seed in SEEDS}) == len(SEEDS)
    assert labels(0).tobytes() == phantom_labels(0, DEFAULT_GRID).tobytes()


def test_livers_and_vessels_have_the_sizes_of_peoples() -> None:
    assert_shapes_of_people([labels(seed) for seed in SEEDS])


def test_nought_to_eight_tumours_of_five_to_a_hundred_and_twenty_mm() -> None:
    sizes = [tumour_sizes_mm(labels(seed)) for seed in SEEDS]
    assert max(len(s) for s in sizes) <= 8
    assert len({len(s) for s in sizes}) >= 4
    every = [size for s in sizes for size in s]
    assert 3 < min(every) < max(every) < 120
    assert 8 < np.median(every) < 40


def test_masks_are_anatomically_possible() -> None:
    assert {seed: problems for seed in SEEDS if (problems := mask_problems(labels(seed), HBP))} == {}


def test_every_structure_is_whole_and_no_voxel_is_an_orphan() -> None:
    for seed in SEEDS:
        mask = labels(seed)
        assert label(mask > 0)[1] == 1
        assert [label(mask == vein, ANY_NEIGHBOUR)[1] for vein in (PORTAL, HEPATIC)] == [1, 1]
        assert label(mask == TUMOUR, ANY_NEIGHBOUR)[1] <= len(anatomy(seed).tumours)


def test_labels_on_a_fine_grid_are_the_same_anatomy() -> None:
    for seed in (0, 1):
        fine, mask = phantom_labels(seed, FINE), labels(seed)
        assert mask_problems(fine, HBP) == []
        assert volume_ml(fine > 0, FINE) == pytest.approx(volume_ml(mask > 0), rel=0.02)
        assert vessel_share(fine) == pytest.approx(vessel_share(mask), rel=0.3)
        assert volume_ml(fine == TUMOUR, FINE) == pytest.approx(volume_ml(mask == TUMOUR), rel=0.1, abs=1)
