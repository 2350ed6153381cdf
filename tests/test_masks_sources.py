"""Real, deformed and procedural masks."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from phantoms import labels
from volumes import shared_data, write_dataset

from lldm_aug.anatomy.measures import component_sizes
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, DatasetError, LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.real import RealCases
from lldm_aug.masks.source import MAX_DRAWS, MaskSource, first_valid
from lldm_aug.masks.validity import mask_problems
from lldm_aug.phantom import DEFAULT_GRID, write_phantom_dataset
from lldm_aug.volume import Volume

CASES = ("phantom_0000", "phantom_0001", "phantom_0002")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    folder = tmp_path_factory.mktemp("masks") / "Dataset700_HBPPhantom"
    write_phantom_dataset(folder, 4, 0, DEFAULT_GRID)
    return RawDataset(folder)


def _source(kind: str, dataset: RawDataset | None, cases: tuple[str, ...] = CASES) -> MaskSource:
    return make_mask_source(kind, HBP, dataset=dataset, cases=cases, grid=DEFAULT_GRID)


@pytest.mark.parametrize("kind", ["real", "deformed", "procedural"])
def test_a_draw_depends_on_index_and_seed_alone(kind: str, dataset: RawDataset) -> None:
    first, second = _source(kind, dataset), _source(kind, dataset)
    second.draw(7, 1)
    a, b = first.draw(3, 11), second.draw(3, 11)
    assert a.label.data.tobytes() == b.label.data.tobytes()
    assert a.origin == b.origin
    assert a.label.data.dtype == np.int16
    assert a.origin.kind == kind


@pytest.mark.parametrize("kind", ["deformed", "procedural"])
def test_other_seeds_give_other_masks(kind: str, dataset: RawDataset) -> None:
    source = _source(kind, dataset)
    masks = {source.draw(index, seed).label.data.tobytes() for index, seed in ((0, 1), (0, 2), (3, 1))}
    assert len(masks) == 3


@pytest.mark.parametrize("kind", ["real", "deformed"])
def test_every_case_is_used_before_any_comes_again(kind: str, dataset: RawDataset) -> None:
    source = _source(kind, dataset)
    used = [source.draw(index, seed=100 + index).origin.source_case for index in range(9)]
    assert all(set(used[i : i + 3]) == {*CASES} for i in (0, 3, 6))


def test_the_order_of_cases_changes_from_round_to_round(dataset: RawDataset) -> None:
    source = _source("real", dataset)
    used = [source.draw(index, 0).origin.source_case for index in range(60)]
    assert len({tuple(used[i : i + 3]) for i in range(0, 60, 3)}) > 2
    assert set(Counter(used).values()) == {20}


def test_real_masks_are_the_files(dataset: RawDataset) -> None:
    drawn = _source("real", dataset).draw(0, 0)
    case = str(drawn.origin.source_case)
    assert np.array_equal(drawn.label.data, dataset.load_label(case).data)
    assert drawn.label.grid.matches(DEFAULT_GRID)
    assert drawn.origin.source_sha256 == dataset.label_hash(case)
    assert drawn.origin.source_dataset == "Dataset700_HBPPhantom"


def test_deformed_masks_keep_every_structure_whole(dataset: RawDataset) -> None:
    source = _source("deformed", dataset)
    for index in range(6):
        drawn = source.draw(index, index)
        before = dataset.load_label(str(drawn.origin.source_case)).data
        assert mask_problems(drawn.label.data, HBP, before) == []
        for value in (1, 2, 3):
            assert len(component_sizes(drawn.label.data == value)) == 1
        changed = np.mean(drawn.label.data != before)
        assert 0.005 < changed < 0.1


def test_procedural_masks_are_valid_and_on_the_generators_grid() -> None:
    drawn = _source("procedural", None).draw(0, 0)
    assert drawn.label.grid.matches(DEFAULT_GRID)
    assert set(np.unique(drawn.label.data)) >= {0, 1, 2, 3}
    assert drawn.origin.source_case is None
    assert drawn.origin.rejected == 0


def test_procedural_masks_refuse_other_structures() -> None:
    schema = LabelSchema(("liver", "spleen"))
    with pytest.raises(LabelError, match=r"not liver, spleen.*'real' or 'deformed'"):
        make_mask_source("procedural", schema, dataset=None, cases=(), grid=DEFAULT_GRID)


def test_a_grid_without_a_liver_ends_in_an_error() -> None:
    tiny = Grid.regular((4, 4, 4), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    source = make_mask_source("procedural", HBP, dataset=None, cases=(), grid=tiny)
    with pytest.raises(LabelError, match=f"no valid mask in {MAX_DRAWS} draws.*no portal_vein"):
        source.draw(0, 0)


def test_unknown_kinds_and_missing_data_are_refused(dataset: RawDataset) -> None:
    with pytest.raises(ConfigError, match="unknown kind of masks 'drawn'"):
        _source("drawn", dataset)
    with pytest.raises(DatasetError, match="need a data set"):
        _source("real", None)
    with pytest.raises(DatasetError, match="need a data set"):
        _source("deformed", dataset, cases=())


@pytest.mark.parametrize("kind", ["real", "deformed"])
def test_an_invalid_real_mask_is_passed_over_and_counted(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset701_Damaged"
    write_phantom_dataset(folder, 3, 0, DEFAULT_GRID)
    damaged = RawDataset(folder)
    write_nifti(damaged.label_path(CASES[1]), Volume(np.zeros(DEFAULT_GRID.shape, np.uint8), DEFAULT_GRID))
    drawn = [_source(kind, damaged).draw(index, 0).origin for index in range(3)]
    assert all(origin.source_case != CASES[1] for origin in drawn)
    assert sum(origin.rejected for origin in drawn) >= 1


@pytest.mark.parametrize("kind", ["real", "deformed", "edited"])
def test_faulty_real_masks_are_passed_over_at_once(kind: str, tmp_path: Path) -> None:
    """Each costs one rejection, and many in a row none of the draws that the sound case has."""
    cases = tuple(f"case_{number}" for number in range(MAX_DRAWS))
    dataset = RawDataset(write_dataset(tmp_path / "Dataset702_Faulty", cases))
    order = [RealCases(dataset, cases).at(index) for index in range(MAX_DRAWS)]
    sound = labels(0).astype(np.uint8)
    swollen = np.where(sound == 1, 3, sound).astype(np.uint8)
    swollen[tuple(np.argwhere(sound == 1)[0])] = 1  # a liver that is vessels but for a voxel
    for case in cases:
        mask = sound if case == order[-1] else np.zeros_like(sound) if case == order[0] else swollen
        write_nifti(dataset.label_path(case), Volume(mask, DEFAULT_GRID))
    for index in (0, 4):
        origin = _source(kind, dataset, cases).draw(index, 0).origin
        assert (origin.source_case, origin.rejected) == (order[-1], MAX_DRAWS - 1 - index)


def test_the_search_stops_at_the_first_valid_draw() -> None:
    assert first_valid(lambda n: (n, [] if n == 3 else ["bad"]), "here") == (3, 3)


def test_masks_of_real_mr_with_thick_slices() -> None:
    dataset = RawDataset(shared_data("Dataset801_ChaosT2"))
    cases = dataset.case_ids[:2]
    source = make_mask_source("deformed", dataset.schema, dataset=dataset, cases=cases, grid=DEFAULT_GRID)
    for index in range(3):
        drawn = source.draw(index, index)
        before = dataset.load_label(str(drawn.origin.source_case))
        assert drawn.label.grid.matches(before.grid)
        for value in range(1, 5):
            assert len(component_sizes(drawn.label.data == value)) == len(component_sizes(before.data == value))
            assert (drawn.label.data == value).sum() == pytest.approx((before.data == value).sum(), rel=0.3)
