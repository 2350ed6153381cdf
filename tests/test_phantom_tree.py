"""Vessel trees as data, and as they grow in a liver."""

import numpy as np
import pytest
from phantoms import SEEDS, anatomy

from lldm_aug.phantom.tree import VesselTree, murray_radii, without_subtrees

PARENTS = np.array([-1, 0, 1, 1, 3, 3])
"""0-1, then 2 and 3 from 1, then 4 and 5 from 3."""


def test_murray_radii_in_closed_form() -> None:
    radii = murray_radii(PARENTS, np.ones(6))
    assert radii**3 == pytest.approx([3, 3, 1, 2, 1, 1])


def test_cutting_a_node_cuts_what_hangs_on_it() -> None:
    kept, parents = without_subtrees(PARENTS, np.array([False, False, False, True, False, False]))
    assert kept.tolist() == [0, 1, 2]
    assert parents.tolist() == [-1, 0, 1]


def test_volume_of_a_straight_vessel() -> None:
    tree = VesselTree(np.array([[0, 0, 0], [0, 0, 10.0]]), np.array([-1, 0]), np.array([2.0, 2.0]))
    assert tree.volume_mm3 == pytest.approx(np.pi * 4 * 10)


@pytest.fixture(params=["portal", "hepatic"])
def trees(request: pytest.FixtureRequest) -> list[VesselTree]:
    return [getattr(anatomy(seed).vessels, request.param) for seed in SEEDS]


def test_grown_trees_obey_murrays_law(trees: list[VesselTree]) -> None:
    for tree in trees:
        for node, children in enumerate(tree.children()):
            if children:
                assert tree.radii_mm[node] ** 3 == pytest.approx(np.sum(tree.radii_mm[children] ** 3))


def test_grown_trees_fork_in_two_and_taper(trees: list[VesselTree]) -> None:
    for tree in trees:
        assert max(len(c) for c in tree.children()) == 2
        assert np.all(tree.radii_mm[tree.parents[1:]] >= tree.radii_mm[1:] - 1e-9)
        assert sum(not c for c in tree.children()) >= 3


def test_grown_radii_are_those_of_veins(trees: list[VesselTree]) -> None:
    assert all(tree.radii_mm.min() > 0.8 and 3 < tree.radii_mm.max() < 12 for tree in trees)


def _axis(tree: VesselTree) -> tuple[np.ndarray, np.ndarray]:
    """Points every fraction of a segment, with their radii."""
    t = np.linspace(0, 1, 6)[None, :, None]
    start, end = tree.points_mm[tree.parents[1:], None], tree.points_mm[1:, None]
    return (start + t * (end - start)).reshape(-1, 3), np.repeat(tree.radii_mm[1:], 6)


def test_portal_and_hepatic_walls_keep_apart() -> None:
    for seed in SEEDS:
        (a, ra), (b, rb) = _axis(anatomy(seed).vessels.portal), _axis(anatomy(seed).vessels.hepatic)
        gap = np.linalg.norm(a[:, None] - b[None], axis=2) - ra[:, None] - rb[None]
        assert gap.min() > 3.0
