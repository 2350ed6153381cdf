"""Edited masks of organs other than the liver: a thin wall, lesions that hold something, hosts without a lesion."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hearts import ANATOMY, GRID, heart, write_hearts
from volumes import shared_data, write_dataset

from lldm_aug.anatomy.declaration import Anatomy, Lesion, read_anatomy
from lldm_aug.anatomy.measures import component_sizes
from lldm_aug.data.partial import PARTIAL_FILE
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LabelError
from lldm_aug.io.nifti import write_nifti
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.edited import EditedMasks
from lldm_aug.masks.edits import Planned, make_edits
from lldm_aug.masks.implant import implant
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.site import Site
from lldm_aug.masks.source import DrawnMask
from lldm_aug.masks.tumour_shapes import Blob
from lldm_aug.masks.wall import MIDDLE
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

SCHEMA = LabelSchema(("cavity", "myocardium", "infarct", "no_reflow"))
WALL = Anatomy(lesions={"infarct": Lesion(within=("myocardium",), holds=("no_reflow",), cut=True)})
HEARTS = {"a": heart(), "b": heart(slices=slice(2, 5), width=0.5), "c": heart(infarct=False)}


def _masks(dataset: RawDataset) -> EditedMasks:
    return EditedMasks(RealCases(dataset, dataset.case_ids))


@pytest.fixture(scope="module")
def draws(tmp_path_factory: pytest.TempPathFactory) -> list[DrawnMask]:
    masks = _masks(write_hearts(tmp_path_factory.mktemp("hearts") / "Dataset711_Heart", HEARTS))
    return [masks.draw(index, index) for index in range(60)]


def test_infarcts_stay_in_the_wall_and_all_else_as_it_was(draws: list[DrawnMask]) -> None:
    kinds = Counter(edit.kind for drawn in draws for edit in drawn.origin.edits)
    assert {*kinds} == {"added", "moved", "grown", "shrunk", "removed"}
    for drawn in draws:
        before, after = HEARTS[str(drawn.origin.source_case)].data, drawn.label.data
        assert np.array_equal(after == 1, before == 1)
        assert np.array_equal(after == 0, before == 0)
        assert not np.array_equal(after, before)
        assert {edit.structure for edit in drawn.origin.edits} == {"infarct"}


def test_hosts_without_a_lesion_get_one(draws: list[DrawnMask]) -> None:
    added = [drawn for drawn in draws if drawn.origin.source_case == "c"]
    assert len(added) == 20
    for drawn in added:
        assert [edit.kind for edit in drawn.origin.edits] == ["added"]
        assert (drawn.label.data == 4).any()  # copies bring what they hold
        assert {*drawn.origin.donors} <= {"a", "b"}
        assert drawn.origin.donors


def test_host_and_donors_are_recorded_each_once(draws: list[DrawnMask]) -> None:
    for drawn in draws:
        assert [case for _, case, _ in drawn.origin.cases] == [drawn.origin.source_case, *drawn.origin.donors]
        assert drawn.origin.source_case not in drawn.origin.donors


def test_a_removed_infarct_takes_its_no_reflow_along() -> None:
    site = Site(heart(), SCHEMA, WALL)
    (infarct,) = site.tumours
    assert {*infarct.held} == {4}
    after, (edit,), problems = make_edits(numpy_rng(0), site, [Planned("removed", 3, None, infarct)])
    assert (edit.kind, problems) == ("removed", [])
    assert np.array_equal(after, heart(infarct=False).data[site.box])


def test_a_moved_infarct_turns_with_the_wall_and_keeps_what_it_holds() -> None:
    site = Site(heart(), SCHEMA, WALL)
    (infarct,) = site.tumours
    for seed in range(8):
        after, _, problems = make_edits(numpy_rng(seed), site, [Planned("moved", 3, site.copy(infarct), infarct)])
        assert problems == []
        assert np.isin(after, (3, 4)).sum() == pytest.approx(infarct.voxels.sum(), abs=3)
        assert (after == 4).sum() == pytest.approx(infarct.held[4].sum(), abs=3)
        depth = site.organ(3).wall.depth
        assert depth[after == 4].mean() < depth[after == 3].mean()  # at the inner side, wherever it is


@pytest.mark.parametrize("growth", [0.7, 1.2])
def test_what_an_infarct_holds_grows_and_shrinks_with_it(growth: float) -> None:
    site = Site(heart(), SCHEMA, WALL)
    (infarct,) = site.tumours
    copy = site.copy(infarct)
    plan = [Planned("resized", 3, replace(copy, scale=growth), infarct, site.centre(infarct, copy))]
    after, _, problems = make_edits(numpy_rng(0), site, plan)
    assert problems == []
    assert np.isin(after, (3, 4)).sum() == pytest.approx(growth**3 * infarct.voxels.sum(), rel=0.1)
    assert (after == 4).sum() == pytest.approx(growth**3 * infarct.held[4].sum(), rel=0.2)


def test_a_shape_larger_than_the_wall_spreads_along_it_on_its_own_side() -> None:
    site = Site(heart(infarct=False), SCHEMA, WALL)
    for seed in range(8):
        rng, labels = numpy_rng(seed), site.labels.copy()
        shape = Blob.draw(rng, 26.0)  # four times as thick as the wall
        assert implant(rng, site, labels, shape, 3) == pytest.approx(26.0, rel=0.02)
        assert len(component_sizes(labels == 3)) == 1
        x, y, _ = np.argwhere(labels == 3).T - np.array([[13], [13], [0]])
        assert np.hypot(x.mean(), y.mean()) > 7  # a sector, not spread over opposite sides


def test_a_lesion_may_lie_in_a_single_slice() -> None:
    flat = heart(slices=slice(2, 3), width=0.3)
    site = Site(flat, SCHEMA, WALL)
    (infarct,) = site.tumours
    _, (edit,), problems = make_edits(numpy_rng(1), site, [Planned("moved", 3, site.copy(infarct), infarct)])
    assert problems == []
    assert edit.diameter_mm == pytest.approx(edit.was_mm, rel=0.1)


def test_depth_in_the_wall_goes_from_its_inner_to_its_outer_side() -> None:
    wall = Site(heart(infarct=False), SCHEMA, WALL).organ(3).wall
    row = wall.depth[13, :4, 2]
    assert row[0] > row[1] > row[2]
    assert row[1] == pytest.approx(MIDDLE, abs=0.1)
    frame = wall.frame(np.array([13, 1, 2]))
    assert np.allclose(frame.T @ frame, np.eye(3))
    assert np.allclose(frame[:, 0], [0, -1, 0], atol=0.05)


def test_a_removed_lesion_becomes_the_nearest_of_what_it_lies_in() -> None:
    schema = LabelSchema(("cortex", "medulla", "tumour"))
    data = np.zeros((20, 12, 12), np.int16)
    data[2:10, 2:10, 2:10], data[10:18, 2:10, 2:10] = 1, 2
    before = data.copy()
    data[7:13, 4:8, 4:8] = 3
    anatomy = Anatomy(lesions={"tumour": Lesion(within=("cortex", "medulla"))})
    site = Site(Volume(data, GRID.regular((20, 12, 12), (3.0, 3.0, 3.0))), schema, anatomy)
    (tumour,) = site.tumours
    after, _, _ = make_edits(numpy_rng(0), site, [Planned("removed", 3, None, tumour)])
    assert np.mean(after != before[site.box]) < 0.02


def test_cases_without_a_lesion_are_no_hosts_unless_the_data_set_says_so(tmp_path: Path) -> None:
    text = ANATOMY.replace("lesion_free_hosts: true", "lesion_free_hosts: false")
    masks = _masks(write_hearts(tmp_path / "Dataset711_Heart", HEARTS, text))
    assert masks.cases.cases == ("a", "b")
    none = _masks(write_hearts(tmp_path / "Dataset712_Healthy", {"c": HEARTS["c"]}, text))
    with pytest.raises(LabelError, match=r"none of 1 masks has infarct.*lesion_free_hosts: true"):
        none.draw(0, 0)


def test_a_case_whose_lesions_were_not_annotated_is_no_host(tmp_path: Path) -> None:
    dataset = write_hearts(tmp_path / "Dataset711_Heart", HEARTS)
    (dataset.folder / PARTIAL_FILE).write_text(json.dumps({"c": ["no_reflow"]}))
    assert _masks(dataset).cases.cases == ("a", "b")
    (dataset.folder / PARTIAL_FILE).write_text(json.dumps({case: ["infarct"] for case in HEARTS}))
    with pytest.raises(LabelError, match="leaves no mask in which infarct, myocardium, no_reflow are annotated"):
        _masks(dataset)


def test_nothing_to_measure_is_one_error(tmp_path: Path) -> None:
    masks = _masks(write_hearts(tmp_path / "Dataset711_Heart", {"c": HEARTS["c"]}))
    with pytest.raises(LabelError, match=r"none of 1 training masks shows infarct.*Give 'sizes' of infarct"):
        masks.draw(0, 0)


def test_a_lesion_larger_than_what_it_lies_in_is_one_error(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset713_Kidney", ("a",), labels={"background": 0, "kidney": 1, "tumour": 2})
    data = np.zeros((20, 20, 20), np.uint8)
    data[5:15, 5:15, 5:15] = 1
    write_nifti(folder / "labelsTr" / "a.nii.gz", Volume(data, GRID.regular((20, 20, 20), (3.0, 3.0, 3.0))))
    sizes = "{median_mm: 70, log_spread: 0.1, range_mm: [60, 80]}"
    text = f"lesions:\n  tumour: {{within: [kidney], shapes: [blobs], sizes: {sizes}}}\nlesion_free_hosts: true\n"
    (folder / "anatomy.yaml").write_text(text)
    with pytest.raises(LabelError, match=r"no room for a tumour of \d\d mm in structures of 37 mm"):
        _masks(RawDataset(folder)).draw(0, 0)


def test_a_tumour_in_another_organ_needs_no_real_one(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Dataset713_Kidney", ("a",), labels={"background": 0, "kidney": 1, "tumour": 2})
    data = np.zeros((20, 20, 20), np.uint8)
    data[3:17, 3:17, 3:17] = 1
    write_nifti(folder / "labelsTr" / "a.nii.gz", Volume(data, GRID.regular((20, 20, 20), (3.0, 3.0, 3.0))))
    sizes = "{median_mm: 12, log_spread: 0.1, range_mm: [8, 16]}"
    text = f"lesions:\n  tumour: {{within: [kidney], sizes: {sizes}}}\nlesion_free_hosts: true\n"
    (folder / "anatomy.yaml").write_text(text)
    drawn = _masks(RawDataset(folder)).draw(0, 0)
    assert {(edit.kind, edit.structure) for edit in drawn.origin.edits} == {("added", "tumour")}
    assert np.array_equal(drawn.label.data > 0, data > 0)


def test_a_draw_depends_on_index_and_seed_alone(draws: list[DrawnMask], tmp_path: Path) -> None:
    again = _masks(write_hearts(tmp_path / "Dataset711_Heart", HEARTS))
    for index in (7, 2):
        drawn = again.draw(index, index)
        assert drawn.label.data.tobytes() == draws[index].label.data.tobytes()
        assert drawn.origin == draws[index].origin


@pytest.mark.slow
def test_infarcts_of_real_hearts(tmp_path: Path) -> None:
    real = RawDataset(shared_data("Dataset803_EmidecLGE"))
    folder = tmp_path / "Dataset803_EmidecLGE"
    folder.mkdir()
    for name in ("dataset.json", "imagesTr", "labelsTr"):
        (folder / name).symlink_to(real.folder / name)
    (folder / "anatomy.yaml").write_text(ANATOMY)
    dataset = RawDataset(folder)
    assert {*read_anatomy(dataset).lesions} == {"infarct"}
    masks = _masks(dataset)
    for index in range(20):
        drawn = masks.draw(index, index)
        before = dataset.load_label(str(drawn.origin.source_case)).data
        assert drawn.origin.edits
        assert np.array_equal(drawn.label.data == 1, before == 1)
        assert np.array_equal(drawn.label.data > 0, before > 0)
