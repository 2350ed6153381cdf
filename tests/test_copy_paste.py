"""Copy-paste: lesions of other patients, in the shape of the mask and the signal of the host; nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from lldm_aug.anatomy.declaration import Anatomy, Lesion
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import DatasetError
from lldm_aug.geometry import Grid
from lldm_aug.inpainting.copy_paste import CopyPasteInpainter
from lldm_aug.inpainting.donors import Donors
from lldm_aug.inpainting.region_choice import choose_region
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_nifti
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

ANATOMY = Anatomy(lesions={"hcc": Lesion(within=("liver",), holds=("necrosis",))})
GRID = Grid.regular((40, 36, 24), (2.0, 2.0, 3.0))
GAINS = {"a": 1.0, "b": 3.0, "c": 1.0, "none": 1.0}
"""Intensities of one case are larger than those of another, as in MR."""
LIVER, HCC, NECROSIS = 1, 2, 3


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    axes = np.moveaxis(np.indices(GRID.shape), 0, -1) * GRID.spacing_mm
    inside: np.ndarray = np.linalg.norm(axes - np.multiply(centre, GRID.spacing_mm), axis=-1) <= radius_mm
    return inside


def write_case(folder: Path, name: str) -> None:
    label = np.where(ball((20, 18, 12), 34), LIVER, 0)
    if name != "none":
        label[ball((14, 18, 12), 9)] = HCC
        label[ball((14, 18, 12), 4)] = NECROSIS
    signal = np.array([20, 100, 60, 30])[label] + numpy_rng(name).normal(scale=2, size=GRID.shape)
    write_nifti(folder / "imagesTr" / f"{name}_0000.nii.gz", Volume((signal * GAINS[name]).astype(np.float32), GRID))
    write_nifti(folder / "labelsTr" / f"{name}.nii.gz", Volume(label.astype(np.int16), GRID))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    folder = tmp_path_factory.mktemp("data") / "Dataset997_Balls"
    for name in GAINS:
        write_case(folder, name)
    labels = {"background": 0, "liver": LIVER, "hcc": HCC, "necrosis": NECROSIS}
    write_json(
        folder / "dataset.json",
        {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": len(GAINS), "file_ending": ".nii.gz"},
    )
    return RawDataset(folder)


def inpainter(dataset: RawDataset, *cases: str, **patients: str) -> CopyPasteInpainter:
    return CopyPasteInpainter(Donors(dataset, cases or dataset.case_ids, dataset.schema, ANATOMY, patients))


def with_lesion(label: np.ndarray, radius_mm: float = 12, value: int = HCC) -> np.ndarray:
    edited = label.copy()
    edited[ball((27, 20, 12), radius_mm)] = value
    return edited


def region_of(host: Case, label: np.ndarray, dataset: RawDataset) -> np.ndarray:
    return choose_region("edits", host.label, label, dataset.schema, ("hcc",), GRID.spacing_mm)


def test_a_lesion_has_the_contrast_of_its_donor_in_the_signal_of_its_host(dataset: RawDataset) -> None:
    host = dataset.load("none")
    label = with_lesion(host.label)
    label[ball((27, 20, 12), 5)] = NECROSIS
    region = region_of(host, label, dataset)
    painted = inpainter(dataset, "b", "none").inpaint(host, label, region, 1)
    assert painted.donors == ("b",)
    np.testing.assert_array_equal(painted.image[:, ~region], host.image[:, ~region])
    image = painted.image[0]
    for value, signal in ((LIVER, 100), (HCC, 60), (NECROSIS, 30)):
        inner = binary_erosion(label == value) & region
        assert image[inner].mean() == pytest.approx(signal, abs=4)
        assert image[inner].std() < 6
    unlike = (image != host.image[0]) & (label == LIVER)
    assert not unlike[~binary_erosion(label == LIVER, iterations=3) ^ (label != LIVER)].all()


def test_the_mask_s_whole_shape_is_filled_however_unlike_the_donor_s(dataset: RawDataset) -> None:
    host = dataset.load("none")
    label = host.label.copy()
    label[24:27, 8:28, 8:16] = HCC
    painted = inpainter(dataset, "a", "none").inpaint(host, label, region_of(host, label, dataset), 1)
    inner = painted.image[0][binary_erosion(label == HCC)]
    assert inner.mean() == pytest.approx(60, abs=8)
    assert inner.max() < 80


def test_a_removed_lesion_leaves_the_texture_of_its_host_structure(dataset: RawDataset) -> None:
    host = dataset.load("b")
    label = np.where(host.label > 0, LIVER, 0).astype(np.int16)
    painted = inpainter(dataset).inpaint(host, label, region_of(host, label, dataset), 3)
    was = host.label >= HCC
    assert painted.donors == ()
    assert painted.image[0][was].mean() == pytest.approx(300, abs=5)
    assert painted.image[0][was].std() == pytest.approx(6, rel=0.35)


def test_a_lesion_that_grew_continues_what_stays_of_it(dataset: RawDataset) -> None:
    host = dataset.load("a")
    label = host.label.copy()
    label[ball((14, 18, 12), 16) & (label == LIVER)] = HCC
    region = region_of(host, label, dataset)
    assert not region[label >= HCC].all()
    painted = inpainter(dataset).inpaint(host, label, region, 3)
    assert painted.donors == ()
    shell = binary_erosion(label >= HCC, iterations=2) & (host.label == LIVER)
    assert painted.image[0][shell].mean() == pytest.approx(60, abs=4)


def test_the_same_seed_gives_the_same_image_and_another_seed_another(dataset: RawDataset) -> None:
    host = dataset.load("none")
    label = with_lesion(host.label)
    region = region_of(host, label, dataset)
    images = [inpainter(dataset).inpaint(host, label, region, seed).image for seed in (1, 1, 2, 3, 4, 5)]
    np.testing.assert_array_equal(images[0], images[1])
    assert any((image != images[0]).any() for image in images[2:])


def test_the_host_and_its_patient_give_no_lesion(dataset: RawDataset) -> None:
    host = dataset.load("a")
    label = with_lesion(host.label)
    region = region_of(host, label, dataset)
    relatives = {"a": "anna", "b": "anna", "c": "carl", "none": "nora"}
    for seed in range(3):
        assert inpainter(dataset, **relatives).inpaint(host, label, region, seed).donors == ("c",)
    with pytest.raises(DatasetError, match="in the labelled cases of other patients"):
        inpainter(dataset, "a", "b", "none", **relatives).inpaint(host, label, region, 0)


def test_a_lesion_in_other_axes_is_found_in_the_same_place(dataset: RawDataset) -> None:
    host = dataset.load("none")
    label = with_lesion(host.label)
    region = region_of(host, label, dataset)
    upright = inpainter(dataset).inpaint(host, label, region, 1).image
    affine = GRID.affine.copy()
    affine[:3, 0] *= -1
    affine[0, 3] += GRID.spacing_mm[0] * (GRID.shape[0] - 1)
    affine[:3, 3] = GRID.to_mm(np.array([GRID.shape[0] - 1, 0, 0]))
    turned = Case("none", host.image[:, ::-1].copy(), host.label[::-1].copy(), Grid(GRID.shape, affine))
    found = inpainter(dataset).inpaint(turned, label[::-1].copy(), region[::-1].copy(), 1).image
    np.testing.assert_array_equal(found[:, ::-1], upright)


def test_structures_that_the_masks_leave_out_are_not_asked_for(dataset: RawDataset) -> None:
    (dataset.folder / "anatomy.yaml").write_text("lesions: {hcc: {within: [liver], holds: [necrosis]}}")
    schema = dataset.schema.without(["necrosis"])
    paster = CopyPasteInpainter.of(dataset, dataset.case_ids, schema)
    assert paster.anatomy.lesions["hcc"].holds == ()
    assert {value for lesion in paster.donors.lesions for value in lesion.part.values} == {HCC}
