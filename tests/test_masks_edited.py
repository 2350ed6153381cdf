"""Real masks with other tumours."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pools
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from phantoms import labels
from scipy.ndimage import binary_dilation, label
from scipy.spatial.transform import Rotation
from scipy.stats import kstest
from volumes import shared_data, write_dataset

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, component_sizes
from lldm_aug.anatomy.tumour_sizes import HCC_SIZES, ball_diameter_mm
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.edits import Planned, least_mm, make_edits, plan_edits, severed
from lldm_aug.masks.implant import implant
from lldm_aug.masks.site import Site
from lldm_aug.masks.source import MAX_DRAWS, DrawnMask, MaskSource
from lldm_aug.masks.tumour_shapes import Blob, Copy, volume_mm3
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom import DEFAULT_GRID
from lldm_aug.pool.manifest import MaskOrigin, TumourEdit
from lldm_aug.pool.summary import summarise
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

KINDS = {"added", "moved", "grown", "shrunk", "removed"}
PLAIN = Grid.regular((70, 60, 50), (3.0, 3.0, 3.5))


def _source(dataset: RawDataset) -> MaskSource:
    return make_mask_source("edited", dataset.schema, dataset=dataset, cases=dataset.case_ids, grid=DEFAULT_GRID)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    cases = tuple(f"case_{seed}" for seed in range(5))
    folder = write_dataset(tmp_path_factory.mktemp("edited") / "Dataset700_Masks", cases)
    for seed, case in enumerate(cases):
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", Volume(labels(seed).astype(np.uint8), DEFAULT_GRID))
    return RawDataset(folder)


@pytest.fixture(scope="module")
def draws(dataset: RawDataset) -> list[DrawnMask]:
    source = _source(dataset)
    return [source.draw(index, 50 + index) for index in range(15)]


def _liver(grid: Grid = PLAIN, tumour_mm: float = 22.0) -> Volume:
    """An ellipsoid with a trunk and a thin branch of each vein, and a tumour away from them."""
    x, y, z = np.moveaxis(grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    inside = (x / 90) ** 2 + (y / 75) ** 2 + (z / 70) ** 2 < 1
    data = inside.astype(np.int16)
    for value, side in ((2, -25.0), (3, 25.0)):
        trunk, branch = np.hypot(y - side, z), np.hypot(x, z)
        data[inside & (trunk < 6) & (np.abs(x) < 60)] = value
        data[inside & (branch < 3.5) & (np.sign(side) * y > 25) & (np.abs(y) < 60)] = value
    data[(x - 30) ** 2 + y**2 + (z - 35) ** 2 < (tumour_mm / 2) ** 2] = 4
    return Volume(data, grid)


def _edited(site: Site, seed: int) -> tuple[np.ndarray, tuple, list[str]]:
    rng = numpy_rng(seed, "test")
    return make_edits(rng, site, plan_edits(rng, site, HCC_SIZES))


def test_every_kind_of_edit_occurs_and_is_recorded(draws: list[DrawnMask]) -> None:
    kinds = Counter(edit.kind for drawn in draws for edit in drawn.origin.edits)
    assert {*kinds} == KINDS
    assert all(drawn.origin.edits for drawn in draws)
    for edit in (edit for drawn in draws for edit in drawn.origin.edits):
        assert edit.structure == "hcc"
        if edit.kind == "added":
            assert edit.was_mm is None
        elif edit.kind in ("moved", "removed"):
            assert edit.diameter_mm == pytest.approx(edit.was_mm, rel=0.05)
        else:
            assert (edit.diameter_mm > edit.was_mm) == (edit.kind == "grown")


def test_all_but_tumours_stays_as_it_was(draws: list[DrawnMask], dataset: RawDataset) -> None:
    for drawn in draws:
        before = dataset.load_label(str(drawn.origin.source_case))
        after = drawn.label.data
        assert drawn.label.grid.matches(before.grid)
        assert np.array_equal(after > 0, before.data > 0)  # the liver's outline
        for value in (2, 3):
            assert not ((after == value) & (before.data != value)).any()
            assert (after == value).sum() >= 0.94 * (before.data == value).sum()
            assert len(component_sizes(after == value)) <= len(component_sizes(before.data == value))
        changed = (after != before.data) & (after != 4) & (before.data != 4)
        assert (before.data[changed] >= 2).all()  # the rest of a branch that was cut off
        assert mask_problems(after, HBP, before.data, made=frozenset({"hcc"})) == []


def test_stray_voxels_of_a_real_mask_are_not_held_against_new_tumours(tmp_path) -> None:
    folder = write_dataset(tmp_path / "Dataset703_Stray", ("a",))
    stray = _liver().data.astype(np.uint8)
    stray[35, 30, 10] = 4
    write_nifti(folder / "labelsTr" / "a.nii.gz", Volume(stray, PLAIN))
    source = _source(RawDataset(folder))
    for index in range(3):
        drawn = source.draw(index, index)
        assert drawn.label.data[35, 30, 10] == 4
        assert drawn.origin.edits


def test_the_record_says_how_large_the_tumours_are(draws: list[DrawnMask]) -> None:
    for drawn in draws:
        components, _ = label(drawn.label.data == 4, ANY_NEIGHBOUR)
        sizes = np.bincount(components.ravel())[1:] * drawn.label.grid.voxel_volume_mm3
        found = [ball_diameter_mm(float(volume)) for volume in sizes]
        for edit in drawn.origin.edits:
            if edit.kind != "removed":
                assert min(abs(f - edit.diameter_mm) for f in found) < 0.02


def test_a_draw_depends_on_index_and_seed_alone(draws: list[DrawnMask], dataset: RawDataset) -> None:
    again = _source(dataset)
    for index in (3, 0):
        drawn = again.draw(index, 50 + index)
        assert drawn.label.data.tobytes() == draws[index].label.data.tobytes()
        assert drawn.origin == draws[index].origin
    assert again.draw(0, 51).label.data.tobytes() != draws[0].label.data.tobytes()


def test_sizes_follow_the_distribution() -> None:
    low, high = map(HCC_SIZES.quantile, HCC_SIZES.range_mm)
    drawn = [HCC_SIZES.draw(numpy_rng(seed)) for seed in range(800)]
    assert kstest([(HCC_SIZES.quantile(d) - low) / (high - low) for d in drawn], "uniform").pvalue > 0.01
    assert HCC_SIZES.range_mm[0] <= min(drawn) < max(drawn) <= HCC_SIZES.range_mm[1]
    assert np.median(drawn) == pytest.approx(25, abs=2)
    assert np.quantile(drawn, [0.05, 0.95]) == pytest.approx([10, 64], rel=0.1)  # as the documentation says
    assert min(HCC_SIZES.draw(numpy_rng(seed), least_mm=20.0) for seed in range(100)) >= 20


def test_added_tumours_have_the_size_that_was_drawn() -> None:
    site = Site(_liver(), HBP)
    voxel = site.grid.voxel_volume_mm3
    found, asked = [], []
    for seed in range(40):
        rng = numpy_rng(seed)
        shape = Blob.draw(rng, min(45.0, HCC_SIZES.draw(rng, least_mm(site))))
        diameter = implant(rng, site, site.labels.copy(), shape, 4)
        if diameter is not None:
            found.append(diameter**3), asked.append(shape.diameter_mm**3)
    assert len(found) >= 36
    assert np.allclose(found, asked, rtol=0.12, atol=1.91 * voxel)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    spacing=st.tuples(st.floats(2.0, 5.0), st.floats(2.0, 5.0), st.floats(2.0, 8.0)),
    axes=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    tilt=st.floats(0, 20),
)
def test_any_grid(seed: int, spacing: tuple, axes: list[int], flips: tuple, tilt: float) -> None:
    matrix = Rotation.from_euler("xyz", [tilt, tilt / 2, 0], degrees=True).as_matrix()
    matrix = (matrix[:, axes] * flips) @ np.diag(spacing)
    x, y, z = (int(210 / s) for s in spacing)
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ (np.array([x, y, z]) - 1) / 2
    mask = _liver(Grid((x, y, z), affine))
    site = Site(mask, HBP)
    edited, edits, problems = _edited(site, seed)
    assume(not problems)
    after = mask.data.copy()
    after[site.box] = edited
    assert np.array_equal(after > 0, mask.data > 0)
    new = (edited == 4) & (site.labels != 4)
    assert not (new & binary_dilation(site.trunks_alone, ANY_NEIGHBOUR)).any()
    still_there = {e.kind for e in edits} == {"added"}
    assert len(component_sizes(edited == 4)) == sum(e.kind != "removed" for e in edits) + still_there
    assert not (after == 4)[mask.data == 0].any()


def test_a_moved_tumour_keeps_its_voxels() -> None:
    site = Site(_liver(), HBP)
    (tumour,) = site.tumours
    copy = Copy.of(tumour.voxels, site.grid.affine[:3, :3])
    assert volume_mm3(copy) == pytest.approx(tumour.voxels.sum() * site.grid.voxel_volume_mm3)
    plan = [Planned("moved", 4, replace(copy, mirror=np.array([-1.0, 1.0, 1.0])), tumour)]
    after, (edit,), problems = make_edits(numpy_rng(1), site, plan)
    assert problems == []
    assert (after == 4).sum() == tumour.voxels.sum()
    assert not ((after == 4)[tumour.box] & tumour.voxels).all()
    assert edit.diameter_mm == edit.was_mm


@pytest.mark.parametrize(("range_mm", "kind"), [((6.0, 15.0), "shrunk"), ((35.0, 100.0), "grown")])
def test_a_tumour_beyond_the_range_is_resized_towards_it(range_mm: tuple[float, float], kind: str) -> None:
    site, sizes = Site(_liver(), HBP), replace(HCC_SIZES, range_mm=range_mm)
    plans = [plan_edits(numpy_rng(seed), site, sizes) for seed in range(40)]
    assert {edit.kind for plan in plans for edit in plan} & {"grown", "shrunk"} == {kind}


def test_a_removed_tumour_becomes_liver() -> None:
    site = Site(_liver(), HBP)
    (tumour,) = site.tumours
    after, (edit,), problems = make_edits(numpy_rng(0), site, [Planned("removed", 4, None, tumour)])
    assert (edit.kind, problems) == ("removed", [])
    assert np.array_equal(after, np.where(site.labels == 4, 1, site.labels))


def test_a_trunk_is_a_thick_vessel() -> None:
    site = Site(_liver(Grid.regular((100, 90, 80), (2.0, 2.0, 2.0))), HBP)
    thick, vessels = site.trunks_alone, np.isin(site.labels, (2, 3))
    assert not (thick & ~vessels).any()
    assert 0.6 < thick.sum() / vessels.sum() < 0.95
    ends = np.abs(site.grid.to_mm(np.argwhere(vessels))[:, 1]) > 45
    assert not thick[vessels][ends].any()


def test_what_a_tumour_cuts_off_is_no_vessel_any_more() -> None:
    before = np.zeros((20, 5, 5), bool)
    before[1:19, 2, 2] = before[1, 4, 4] = True
    after = before.copy()
    after[12, 2, 2] = False
    assert np.argwhere(severed(before, after))[:, 0].tolist() == list(range(13, 19))


def test_a_liver_without_room_ends_in_an_error(tmp_path) -> None:
    folder = write_dataset(tmp_path / "Dataset701_Narrow", ("a", "b"))
    narrow = np.zeros((40, 12, 12), np.uint8)
    narrow[2:38, 5:7, 5:7] = 1
    for case in ("a", "b"):
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", Volume(narrow, Grid.regular((40, 12, 12), (4.0, 3.0, 3.0))))
    with pytest.raises(LabelError, match=rf"no valid mask in {MAX_DRAWS} draws.*no room for a tumour of \d+ mm"):
        _source(RawDataset(folder)).draw(0, 0)


@pytest.mark.parametrize("names", [("liver", "portal_vein"), ("liver", "spleen"), ("kidney", "tumour")])
def test_structures_without_liver_or_lesion_are_refused(names: tuple[str, ...], tmp_path) -> None:
    values = {"background": 0, **LabelSchema(names).values}
    folder = write_dataset(tmp_path / "Dataset702_Other", ("a",), labels=values)
    with pytest.raises(LabelError, match=r"tumours are edited in masks of 'liver' and one of.*'real' or 'deformed'"):
        _source(RawDataset(folder))


def test_a_manifest_line_of_an_earlier_version_is_read() -> None:
    assert MaskOrigin.model_validate({"kind": "deformed", "source_case": "a", "rejected": 1}).edits == ()
    line = {"kind": "edited", "edits": [{"kind": "added", "structure": "hcc", "diameter_mm": 21.5, "was_mm": None}]}
    assert MaskOrigin.model_validate(line).edits[0].diameter_mm == 21.5


@pytest.mark.slow
def test_a_real_ct_with_seven_tumours() -> None:
    dataset = RawDataset(shared_data("Dataset802_IrcadCT"))
    source = make_mask_source("edited", dataset.schema, dataset=dataset, cases=dataset.case_ids, grid=DEFAULT_GRID)
    drawn = source.draw(0, 0)
    before = dataset.load_label(dataset.case_ids[0]).data
    assert drawn.origin.edits
    assert all(edit.structure == "tumour" for edit in drawn.origin.edits)
    assert np.array_equal(drawn.label.data > 0, before > 0)
    assert mask_problems(drawn.label.data, dataset.schema, before, made=frozenset({"tumour"})) == []


def test_a_pool_counts_refused_masks_and_edits(tmp_path) -> None:
    edits = (TumourEdit(kind="added", structure="hcc", diameter_mm=20.0),)
    pools.write_pool(tmp_path / "pool", cases=2, origin=MaskOrigin(kind="edited", rejected=3, edits=edits * 2))
    summary = summarise(tmp_path / "pool")
    assert (summary.rejected_masks, summary.tumour_edits) == (6, {"added": 4})
