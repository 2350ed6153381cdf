"""Depth fields of masks: closed form, nesting, the way back to clean labels, deformation; and how far copies are."""

import numpy as np
import pytest
import torch

from lldm_aug.anatomy.measures import component_sizes, touching_share
from lldm_aug.evaluation.measure.neighbours import mask_neighbours
from lldm_aug.evaluation.tables.memorization import COPIES, MASK, NONE, Space, judge_space
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks.diffeomorphism import Lattice
from lldm_aug.masks.distance import assemble, depths, occupied
from lldm_aug.metrics.dice import dice
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.mask_fields import Deformation, deform_fields, draw_deformation

ORGANS = LabelSchema(("liver", "kidneys", "spleen"))
SHAPE, SPACING = (40, 36, 30), (3.0, 3.0, 3.0)
REACH = 12.0
WHOLE = (slice(0, 40), slice(0, 36), slice(0, 30))


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """(X, Y, Z) booleans, in voxels."""
    grids = np.ogrid[tuple(slice(n) for n in SHAPE)]
    return sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True)) < radius**2


def liver_mask() -> np.ndarray:
    """A ball of liver with a vein of one voxel's width along each of two axes, and a tumour."""
    mask = np.where(ball((20, 18, 15), 12), 1, 0).astype(np.int16)
    mask[12:28, 18, 15] = 2
    mask[20, 10:26, 20] = 3
    mask[ball((24, 24, 12), 3)] = 4
    return mask


def organ_mask() -> np.ndarray:
    """Liver, two kidneys and a spleen."""
    mask = np.where(ball((12, 18, 15), 9), 1, 0).astype(np.int16)
    mask[ball((24, 8, 10), 4) | ball((24, 28, 10), 4)] = 2
    mask[ball((33, 18, 20), 5)] = 3
    return mask


def fields(mask: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Its depth fields in millimetres."""
    return depths(occupied(mask, schema), SPACING, REACH) * REACH


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (2.0, 2.0, 3.0)])
def test_depth_of_a_ball(spacing: tuple[float, float, float]) -> None:
    axes = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, spacing, strict=True)), indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    expected = np.clip(17.3 - radius, -10, 10)
    error = 10 * depths((radius < 17.3)[None], spacing, 10.0)[0] - expected
    assert np.abs(error).max() < np.linalg.norm(spacing) / 2
    assert np.abs(error).mean() < 0.2


def test_depth_of_nothing_and_of_everything() -> None:
    nothing, everything = depths(np.stack([np.zeros(SHAPE, bool), np.ones(SHAPE, bool)]), SPACING, REACH)
    assert (nothing == -1).all()
    assert (everything == 1).all()


def test_the_liver_holds_its_parts_and_other_organs_none() -> None:
    liver, *parts = occupied(liver_mask(), HBP)
    assert (liver == (liver_mask() > 0)).all()
    assert [p.sum() for p in parts] == [np.count_nonzero(liver_mask() == v) for v in (2, 3, 4)]
    assert all((o == (organ_mask() == v)).all() for v, o in enumerate(occupied(organ_mask(), ORGANS), start=1))


@pytest.mark.parametrize(("mask", "schema"), [(liver_mask(), HBP), (organ_mask(), ORGANS)])
def test_there_and_back_again(mask: np.ndarray, schema: LabelSchema) -> None:
    assert min(dice(assemble(fields(mask, schema), schema), mask, schema).values()) == 1


def test_a_torn_vessel_is_joined_and_noise_dropped() -> None:
    depth = fields(liver_mask(), HBP)
    depth[1, 19:21] = np.minimum(depth[1, 19:21], -0.3)  # torn, but only just below the surface
    depth[1, 20, 8, 15] = 1.0  # a crumb of vein
    depth[3, 10, 18, 15] = 1.0  # a speck of tumour
    depth[0, 38, 34, 28] = 1.0  # a crumb of liver
    mask = assemble(depth, HBP)
    assert len(component_sizes(mask == 2)) == 1
    assert (mask == 2).sum() == 16
    assert mask[20, 8, 15] == mask[10, 18, 15] == 1
    assert mask[38, 34, 28] == 0


def test_trees_are_kept_apart() -> None:
    touching = liver_mask()
    touching[20, 10:26, 16] = 3  # beside the portal vein
    mask = assemble(fields(touching, HBP), HBP)
    assert touching_share(touching == 2, touching == 3) > 0
    assert touching_share(mask == 2, mask == 3) == 0
    assert (mask == 2).any()
    assert (mask == 3).any()


def test_no_deformation_changes_nothing() -> None:
    depth = torch.from_numpy(fields(liver_mask(), HBP) / REACH)
    still = draw_deformation(numpy_rng("still"), SHAPE, SPACING, 0.0)
    torch.testing.assert_close(deform_fields(depth, still, SPACING, REACH, WHOLE), depth, atol=1e-4, rtol=0)


def test_a_shift_by_part_of_a_voxel_does_not_erase_a_vessel_of_one() -> None:
    depth = torch.from_numpy(fields(liver_mask(), HBP) / REACH)
    lattice = Lattice.over(SHAPE, SPACING)
    displacement = np.zeros((3, *lattice.shape))
    displacement[1], displacement[2] = 1.4, 0.9
    moved = deform_fields(depth, Deformation(displacement, lattice), SPACING, REACH, WHOLE)
    before, after = ((d > 0).sum(dim=(1, 2, 3)).tolist() for d in (depth, moved))
    assert after == pytest.approx(before, rel=0.1)


def test_a_box_is_cut_from_the_whole() -> None:
    depth = torch.from_numpy(fields(organ_mask(), ORGANS) / REACH)
    bent = draw_deformation(numpy_rng("bent"), SHAPE, SPACING, 1.0)
    box = (slice(4, 36), slice(2, 34), slice(3, 27))  # all organs inside
    whole, part = (deform_fields(depth, bent, SPACING, REACH, b) for b in (WHOLE, box))
    assert (whole[:, *box] - part).abs().mean() < 0.02
    assert not torch.equal(whole, depth)


def test_deformed_organs_keep_their_sides_and_about_their_size() -> None:
    depth = torch.from_numpy(fields(organ_mask(), ORGANS) / REACH)
    for number in range(5):
        bent = draw_deformation(numpy_rng("organs", number), SHAPE, SPACING, 1.0)
        mask = assemble(deform_fields(depth, bent, SPACING, REACH, WHOLE).numpy(), ORGANS)
        places = [np.argwhere(mask == value)[:, 0].mean() for value in (1, 2, 3)]
        assert places == sorted(places)
        assert 0.5 < np.count_nonzero(mask == 1) / np.count_nonzero(organ_mask() == 1) < 1.8


def test_a_moved_copy_is_found() -> None:
    others = [np.where(ball((20, 18, 15), radius), 1, 0) for radius in (6, 8, 10)]
    moved = np.roll(liver_mask(), (2, -1, 1), (0, 1, 2))
    distances = mask_neighbours([moved, others[0]], [liver_mask(), *others[1:]], SPACING, HBP).distances
    assert distances[0] == pytest.approx(0)
    assert distances[1] > 0.2


def test_the_verdict_is_against_held_out_masks() -> None:
    balls = [np.where(ball((20, 18, 15), radius), 1, 0) for radius in (5, 7, 9, 11)]
    held_out = mask_neighbours([balls[1]], balls[2:], SPACING, HBP)
    novel = Space(MASK, mask_neighbours([balls[0]], balls[2:], SPACING, HBP), held_out)
    verdict = judge_space(novel, ["new"], ())
    assert verdict.verdict == NONE
    assert verdict.smallest_share > 1
    assert verdict.nearer_than_any == 0
    copying = judge_space(Space(MASK, mask_neighbours([balls[2]], balls[2:], SPACING, HBP), held_out), ["copy"], ())
    assert (copying.verdict, copying.copies, copying.nearer_than_any) == (COPIES, 1, 1)
