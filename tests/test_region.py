"""What inpainting networks may see: all around a region, and nothing inside."""

import torch

from lldm_aug.models.surroundings import filled, touched_cells, with_surroundings, without_surroundings


def cube(sides: tuple[int, int, int], low: int, high: int) -> torch.Tensor:
    region = torch.zeros(1, *sides, dtype=torch.bool)
    region[:, low:high, low:high, low:high] = True
    return region


def test_nothing_inside_a_region_is_seen_and_all_around_it_is() -> None:
    region = cube((16, 12, 10), 3, 8)
    image = torch.randn(1, 2, 16, 12, 10, generator=torch.Generator().manual_seed(0))
    marked = torch.where(region[:, None], 100.0, image)
    for function in (filled, lambda x, r: with_surroundings(torch.zeros(1, 3, 16, 12, 10), x, r)):
        assert torch.equal(function(image, region), function(marked, region))
    assert torch.equal(filled(image, region)[:, :, ~region[0]], image[:, :, ~region[0]])


def test_a_region_is_filled_smoothly_with_what_surrounds_it() -> None:
    region = cube((16, 16, 16), 4, 12)
    ramp = torch.linspace(-1, 1, 16).view(1, 1, 16, 1, 1).expand(1, 1, 16, 16, 16)
    found = filled(ramp, region)
    assert (found - ramp).abs().max() < 0.35
    assert found[0, 0, 4, 8, 8] < found[0, 0, 11, 8, 8]
    constant = filled(torch.full((1, 1, 9, 7, 5), 0.3), torch.ones(1, 9, 7, 5, dtype=torch.bool))
    assert not constant.any()  # nothing is seen at all
    even = filled(torch.full((1, 1, 16, 16, 16), 0.3), region)
    assert torch.allclose(even, torch.tensor(0.3), atol=1e-5)


def test_a_cell_is_touched_by_a_single_voxel() -> None:
    region = torch.zeros(1, 8, 8, 4, dtype=torch.bool)
    region[0, 4, 3, 2] = True
    cells = touched_cells(region, (4, 4, 2))
    assert cells.shape == (1, 1, 2, 2, 2)
    assert cells.sum() == 1
    assert cells[0, 0, 1, 0, 1]


def test_a_whole_image_to_paint_is_a_region_of_all_voxels() -> None:
    condition = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = with_surroundings(condition, torch.ones(2, 1, 4, 4, 4), torch.ones(2, 4, 4, 4, dtype=torch.bool))
    assert torch.equal(without_surroundings(condition, 1), whole)
