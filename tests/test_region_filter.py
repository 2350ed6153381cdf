"""The quality filter for inpainted pairs finds seams, false noise and lesions that are not shown; a good region
passes."""

import numpy as np

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.inpainting.inpainter import blended
from lldm_aug.labels import LabelSchema
from lldm_aug.seeds import numpy_rng
from lldm_aug.synthesis.region_filter import border_reasons, noise_reasons, segmentation_reasons

SCHEMA = LabelSchema(("liver", "hcc"))
GRID = Grid.regular((40, 36, 24), (2.0, 2.0, 3.0))
DISTANCE_MM = np.linalg.norm((np.moveaxis(np.indices(GRID.shape), 0, -1) - (20, 18, 12)) * GRID.spacing_mm, axis=-1)
REGION = DISTANCE_MM <= 18
LESION = np.where(DISTANCE_MM <= 10, 2, 1).astype(np.int16)


def noise(seed: int, strength: float = 5.0) -> np.ndarray:
    return numpy_rng("region gate", seed).normal(scale=strength, size=(1, *GRID.shape)).astype(np.float32)


HOST = Case("host", 100 + noise(0), np.ones(GRID.shape, dtype=np.int16), GRID)


def painted(seed: int = 1, offset: float = 0.0, strength: float = 5.0) -> np.ndarray:
    return 100 + offset + noise(seed, strength) - 40 * (LESION == 2)


def test_a_region_without_a_seam_passes_and_a_planted_seam_is_found() -> None:
    soft = blended(HOST.image, painted(), REGION, GRID.spacing_mm)
    assert border_reasons(soft, LESION, HOST, REGION) == []
    for offset in (-10.0, 10.0):
        hard = np.where(REGION, painted(offset=offset), HOST.image)
        (reason,) = border_reasons(hard, LESION, HOST, REGION)
        assert reason.name == "region border"
        assert reason.value > reason.high


def test_the_rim_of_a_lesion_is_no_seam() -> None:
    region = DISTANCE_MM <= 10  # no margin: the region's rim is the lesion's
    hard = np.where(region, painted(), HOST.image)
    assert border_reasons(hard, LESION, HOST, region) == []


def test_noise_that_is_missing_or_too_strong_is_found() -> None:
    for strength, passes in ((5.0, True), (1.0, False), (12.0, False)):
        image = np.where(REGION, painted(strength=strength), HOST.image)
        assert (noise_reasons(image, LESION, HOST, REGION) == []) == passes


def test_the_segmenter_has_to_see_what_the_mask_says_in_the_region_alone() -> None:
    least = {"liver": 0.5, "hcc": 0.5}
    elsewhere = LESION.copy()
    elsewhere[~REGION] = 0  # the segmenter is wrong outside of the region
    assert segmentation_reasons(elsewhere, LESION, REGION, SCHEMA, least) == []
    (missing,) = segmentation_reasons(HOST.label, LESION, REGION, SCHEMA, least)
    assert missing.name == "region dice hcc"
    (still,) = segmentation_reasons(LESION, HOST.label, REGION, SCHEMA, least)
    assert still.name == "region invented hcc"
