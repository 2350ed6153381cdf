"""What a phantom consists of: organs with an inside, lesions, cirrhosis."""

import numpy as np
import pytest
from phantoms import SEEDS, anatomy

from lldm_aug.geometry import Grid
from lldm_aug.phantom.anatomy import tissue_density, tissue_t1
from lldm_aug.phantom.cirrhosis import CIRRHOTIC_T1_RANGE_MS, Cirrhosis
from lldm_aug.phantom.frame import BodyFrame
from lldm_aug.phantom.liver import LiverDepth
from lldm_aug.phantom.paint import tissue_map
from lldm_aug.phantom.tissues import LABEL_OF_TISSUE, LESIONS, LEVELS, PROPERTIES, Tissue
from lldm_aug.phantom.tumours import Interior, TumourPlacement
from lldm_aug.phantom.vessels import main_landmarks_mm, roots_mm
from lldm_aug.seeds import numpy_rng

GRID = Grid.regular((106, 86, 72), (3.0, 3.0, 3.0))
LESION_PARTS = (Tissue.TUMOUR, Tissue.NODULE, Tissue.NECROSIS, Tissue.CAPSULE)


@pytest.fixture(scope="module")
def maps() -> list[np.ndarray]:
    return [tissue_map(anatomy(seed), BodyFrame.centred(GRID)) for seed in range(4)]


def test_every_tissue_has_its_time_and_density() -> None:
    assert set(PROPERTIES) == set(Tissue) - set(LESION_PARTS)
    for seed in range(6):
        t1, density = tissue_t1(anatomy(seed)), tissue_density()
        assert t1.shape == density.shape == (LEVELS,)
        assert t1.min() > 100
        assert t1[Tissue.LIVER] == anatomy(seed).liver_t1_ms


def test_all_parts_of_a_lesion_are_labelled_as_one() -> None:
    assert set(LABEL_OF_TISSUE[Tissue.TUMOUR :]) == {4}
    assert np.flatnonzero(LABEL_OF_TISSUE == 1).tolist() == [Tissue.LIVER, Tissue.LIVER_DUCT]
    assert not LABEL_OF_TISSUE[[Tissue.BLOOD, Tissue.BILE_DUCT, Tissue.GALLBLADDER]].any()


@pytest.mark.parametrize(
    "tissue",
    [
        Tissue.CORTICAL_BONE, Tissue.BONE, Tissue.DISC, Tissue.CORD, Tissue.BLOOD, Tissue.SPLEEN, Tissue.KIDNEY,
        Tissue.MEDULLA, Tissue.RENAL_PELVIS, Tissue.STOMACH, Tissue.STOMACH_FLUID, Tissue.BOWEL, Tissue.PANCREAS,
        Tissue.BILE_DUCT, Tissue.LIVER_DUCT, Tissue.HEART, Tissue.MYOCARDIUM, Tissue.LUNG,
    ],
)  # fmt: skip
def test_every_person_has_every_organ(maps: list[np.ndarray], tissue: Tissue) -> None:
    assert all(np.any(part == tissue) for part in maps)


def test_the_gallbladder_holds_bile(maps: list[np.ndarray]) -> None:
    assert all(np.isin(part, (Tissue.GALLBLADDER, Tissue.GALLBLADDER_BILE)).any() for part in maps)


def test_vertebrae_and_discs_take_turns(maps: list[np.ndarray]) -> None:
    for seed, part in enumerate(maps):
        column = GRID.to_voxels(GRID.centre_mm + np.array([0, anatomy(seed).body.spine_y_mm, 0])).round().astype(int)
        along = part[column[0], column[1]]
        assert set(along) == {Tissue.BONE, Tissue.DISC}
        assert 8 <= np.count_nonzero(np.diff(along)) <= 16


def test_ribs_lie_in_the_wall_and_end_in_front(maps: list[np.ndarray]) -> None:
    x, y, _ = BodyFrame.centred(GRID).positions()
    for seed, part in enumerate(maps):
        body = anatomy(seed).body
        bone = (part == Tissue.CORTICAL_BONE) & (body.muscle(x, y) > -body.wall_mm - 4)
        assert bone[:, :, 36:].sum() > 100
        assert not bone[:, :, :12][:, 60:].any()


def test_what_is_labelled_lies_in_the_liver(maps: list[np.ndarray]) -> None:
    x, y, z = BodyFrame.centred(GRID).positions()
    for seed, part in enumerate(maps):
        labelled = LABEL_OF_TISSUE[part] > 0
        assert np.all(anatomy(seed).liver(x, y, z)[labelled] < 0)


def test_a_large_lesion_has_a_capsule_a_dead_centre_and_nodules_a_small_one_has_none() -> None:
    depth = np.linspace(0.1, 40, 400)
    for seed in range(10):
        rng = numpy_rng(seed, "test")
        large, small = (Interior.draw(rng, radius, 900.0, 300.0) for radius in (45.0, 4.0))
        assert set(large.tissue(depth, depth, depth, depth)) >= {Tissue.NECROSIS, Tissue.CAPSULE}
        assert set(small.tissue(depth, depth, depth, depth)) <= {Tissue.TUMOUR, Tissue.NODULE}


def test_large_livers_have_room_for_the_largest_lesions() -> None:
    livers = [anatomy(seed).liver for seed in SEEDS]
    liver = max(livers, key=lambda one: one.volume_ml())
    place = TumourPlacement(LiverDepth(liver), roots_mm(liver), main_landmarks_mm(liver))
    assert len(place.room(45.0, [])) > 0
    assert len(place.room(45.0, [])) < len(place.room(30.0, [])) < len(place.room(23.0, []))


def test_about_three_in_ten_livers_are_cirrhotic_and_take_up_less() -> None:
    people = [Cirrhosis.draw(numpy_rng(seed, "test")) for seed in range(400)]
    sick = [p for p in people if p.severity > 0]
    assert 0.22 < len(sick) / len(people) < 0.38
    assert all(CIRRHOTIC_T1_RANGE_MS[0] <= p.liver_t1_ms <= CIRRHOTIC_T1_RANGE_MS[1] for p in sick)
    assert np.median([p.liver_t1_ms for p in sick]) > np.median([p.liver_t1_ms for p in people if p.severity == 0]) + 40
    assert 0.1 < np.mean([p.ascites_mm > 0 for p in sick]) < 0.6
    assert all((p.surface is None) == (p.uptake is None) == (p.severity == 0) for p in people)


def test_nodular_uptake_is_uneven_about_its_mean() -> None:
    x, y, z = np.meshgrid(*[np.arange(-60, 60, 3.0)] * 3, indexing="ij")
    for seed in range(12):
        uptake = Cirrhosis.draw(numpy_rng(seed, "test")).uptake
        if uptake is not None:
            values = uptake(x, y, z)
            assert abs(values.mean()) < 0.02
            assert 0.02 < values.std() < 0.12
            assert np.abs(values).max() <= 0.3


def test_lesions_are_at_most_as_many_as_have_tissues() -> None:
    assert Tissue.CAPSULE + LESIONS == LEVELS <= 256
