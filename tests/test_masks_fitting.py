"""Masks that a generator's grid shows: whole, valid as they are written, and unchanged where they lie on that grid."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from volumes import shared_data, write_dataset

from lldm_aug.anatomy.limits import DEFAULT_LIMITS
from lldm_aug.anatomy.measures import component_sizes
from lldm_aug.data.conform import Frame
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.resample import from_canonical, inside, resample
from lldm_aug.errors import LabelError
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.labels import HBP
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.fitting import Fitted, _components, cropped, fit_to
from lldm_aug.masks.relabelling import ReducedMasks
from lldm_aug.masks.source import MAX_DRAWS
from lldm_aug.masks.validity import mask_problems
from lldm_aug.metrics.dice import dice
from lldm_aug.phantom import DEFAULT_GRID
from lldm_aug.phantom.render_case import phantom_labels
from lldm_aug.volume import Volume

FIT = partial(fit_to, shape=DEFAULT_GRID.shape, spacing_mm=DEFAULT_GRID.spacing_mm)
FINE = Grid.regular((212, 174, 72), (1.5, 1.5, 3.0))
THICK = Grid.regular((264, 216, 32), (1.2, 1.2, 7.0))
COARSE = Grid.regular((64, 60, 44), (5.0, 4.3, 5.0))


@pytest.mark.parametrize("grid", [FINE, THICK, COARSE])
@pytest.mark.parametrize("seed", [2000, 2003])
def test_what_is_written_is_as_whole_as_what_was_drawn(grid: Grid, seed: int) -> None:
    mask = Volume(phantom_labels(seed, grid), grid)
    fitted, problems = FIT(mask, HBP, DEFAULT_LIMITS)
    assert problems == []
    before = cropped(mask, fitted.label.grid).data
    assert mask_problems(fitted.label.data, HBP, before) == []
    assert fitted.label.data.dtype == fitted.shown.data.dtype == np.int16
    scores = dice(fitted.label.data, before, HBP)
    assert scores["liver"] > 0.97
    assert min(scores.values()) > 0.8
    for value in HBP.values.values():
        for one, other in ((fitted.label, before), (fitted.shown, before)):
            assert len(component_sizes(one.data == value)) == len(component_sizes(other == value))
        assert (fitted.label.data == value).sum() == pytest.approx((before == value).sum(), rel=0.1)


def test_a_mask_on_the_generators_grid_stays_as_it_is() -> None:
    mask = Volume(phantom_labels(5, DEFAULT_GRID), DEFAULT_GRID)
    fitted, problems = FIT(mask, HBP, None)
    assert fitted.label is mask
    assert problems == []
    frame = Frame.around(mask, DEFAULT_GRID.shape, DEFAULT_GRID.spacing_mm)
    assert fitted.shown.data.tobytes() == frame.label_in(mask.data).tobytes() == mask.data.tobytes()
    assert frame.label_out(fitted.shown.data).tobytes() == mask.data.tobytes()


def test_orientation_does_not_matter() -> None:
    mask = Volume(phantom_labels(7, COARSE), COARSE)
    turned = Grid(COARSE.shape, COARSE.affine @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    affine = turned.affine.copy()
    affine[:3, 3] = COARSE.to_mm(np.array([COARSE.shape[0] - 1, 0, COARSE.shape[2] - 1]))
    turned = Grid(COARSE.shape, affine)
    other, _ = FIT(Volume(from_canonical(mask.data, turned), turned), HBP, None)
    plain, _ = FIT(mask, HBP, None)
    assert np.array_equal(other.shown.data, plain.shown.data)
    assert np.array_equal(from_canonical(plain.label.data, other.label.grid), other.label.data)


def test_a_component_is_resampled_as_the_whole_would_be() -> None:
    labels = np.zeros((40, 30, 20), np.int16)
    labels[5:30, 4:25, 3:17] = 1
    source, target = Grid.regular(labels.shape, (1.0, 2.0, 3.0)), Grid.regular((18, 16, 30), (2.5, 4.5, 2.0))
    share = resample(labels == 1, source, target) * inside(source, target)
    (component,) = _components(labels, source, target)
    pasted = np.zeros_like(share)
    pasted[component.box] = component.share
    np.testing.assert_allclose(pasted, share, atol=1e-6)


def test_stray_voxels_of_a_fine_grid_are_left_out() -> None:
    labels = phantom_labels(2000, FINE)
    labels[tuple(np.argwhere(labels == 1)[5000])] = 4
    count = len(component_sizes(labels == 4))
    fitted, problems = FIT(Volume(labels, FINE), HBP, None)
    assert problems == []
    assert len(component_sizes(fitted.label.data == 4)) < count


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Two cases finer than the generator's grid."""
    folder = write_dataset(tmp_path_factory.mktemp("fine") / "Dataset704_Fine", ("a", "b"))
    for seed, case in enumerate(("a", "b")):
        labels = phantom_labels(2000 + seed, FINE).astype(np.uint8)
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", Volume(labels, FINE))
    return RawDataset(folder)


@pytest.mark.parametrize("kind", ["real", "edited", pytest.param("deformed", marks=pytest.mark.slow)])
def test_every_source_checks_what_is_written(kind: str, fine: RawDataset) -> None:
    source = make_mask_source(kind, HBP, dataset=fine, cases=fine.case_ids, grid=DEFAULT_GRID)
    seen: list[Fitted] = []

    def spoiled_once(mask: Volume, *args: object) -> tuple[Fitted, list[str]]:
        fitted, problems = FIT(mask, *args)
        seen.append(fitted)
        return fitted, problems if len(seen) > 1 else ["spoiled"]

    drawn = source.draw(0, 3, spoiled_once)
    assert drawn.label is seen[-1].label
    assert drawn.origin.rejected >= 1
    before = cropped(fine.load_label(str(drawn.origin.source_case)), drawn.label.grid).data
    assert mask_problems(drawn.label.data, HBP, before, made=frozenset({"hcc"})) == []
    with pytest.raises(LabelError, match=f"no valid mask in {MAX_DRAWS} draws; the last had: bad"):
        source.draw(0, 3, lambda mask, *args: (seen[0], ["bad"]))


def test_what_is_left_out_is_not_missed(fine: RawDataset) -> None:
    """One vein alone may fill less of the liver than both have to; nobody can draw it better."""
    source = make_mask_source("real", HBP, dataset=fine, cases=fine.case_ids, grid=DEFAULT_GRID)
    drawn = ReducedMasks(source, HBP.without(["liver", "portal_vein", "hepatic_vein"])).draw(0, 0, FIT)
    assert drawn.origin.rejected == 0
    assert set(np.unique(drawn.label.data)) == set(np.unique(drawn.shown.data)) == {0, 1}


def test_real_mr_with_thick_slices() -> None:
    dataset = RawDataset(shared_data("Dataset801_ChaosT2"))
    source = make_mask_source("real", dataset.schema, dataset=dataset, cases=dataset.case_ids, grid=DEFAULT_GRID)
    fit = partial(fit_to, shape=(96, 80, 32), spacing_mm=(4.0, 4.0, 8.7))
    assert [source.draw(index, 0, fit).origin.rejected for index in range(4)] == [0] * 4
