"""One phantom case: image and labels of a seed on any grid."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.phantom.acquisition import Protocol, block_mean, rician
from lldm_aug.phantom.anatomy import Anatomy, draw_anatomy
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.paint import paint_liver, tissue_map
from lldm_aug.phantom.signal import spoiled_gradient_echo
from lldm_aug.phantom.tissues import LABEL_OF_TISSUE, LEVELS, PROPERTIES, Tissue
from lldm_aug.seeds import derive_seed, numpy_rng

DEFAULT_GRID = Grid.regular((80, 64, 48), (4.0, 4.0, 4.5))
"""The grid of the embedded generator: a whole trunk's width at 4 mm."""
FINE_MM = 2.2
TEXTURE_MM = 3.0
SKIN_MARGIN_MM = 3.0


def phantom_labels(seed: int, grid: Grid) -> np.ndarray:
    """(X, Y, Z) int16 labels in the schema `lldm_aug.labels.HBP` of the anatomy that a seed stands for.

    The anatomy is centred in the grid; the same seed gives the same anatomy on any grid.
    """
    return _labels(draw_anatomy(seed), Frame.centred(grid))


def phantom_case(seed: int, index: int, grid: Grid) -> Case:
    """Case number ``index`` of the phantom data set that a seed stands for.

    Its image is (1, X, Y, Z) float32 with whole positive intensities inside the body and exact zeros outside.
    """
    case_seed = derive_seed(seed, "phantom case", index)
    anatomy, frame = draw_anatomy(case_seed), Frame.centred(grid)
    image = render(anatomy, frame, case_seed)
    return Case(f"phantom_{index:04d}", image[None], _labels(anatomy, frame), grid)


def render(anatomy: Anatomy, frame: Frame, seed: int) -> np.ndarray:
    """(X, Y, Z) float32 image of an anatomy: signal on a finer grid, averaged, shaded, with noise."""
    rng = numpy_rng(seed, "phantom", "acquisition")
    protocol = Protocol.draw(rng)
    fine, factors = _refined(frame)
    tissues = tissue_map(anatomy, fine)
    signal = _tissue_signal(anatomy, protocol)
    bright = signal[tissues]
    bright *= _texture(rng, tissues, fine, protocol.texture)
    shaded = block_mean(bright, factors) * np.exp(protocol.shading(*frame.positions()))
    noisy = rician(rng, shaded * np.float32(protocol.gain), protocol.noise * protocol.gain)
    x, y, _ = frame.positions()
    body = np.broadcast_to(anatomy.body.skin(x, y) < SKIN_MARGIN_MM, noisy.shape)
    image: np.ndarray = np.where(body, np.maximum(np.rint(noisy), 1), 0).astype(np.float32)
    return image


def _labels(anatomy: Anatomy, frame: Frame) -> np.ndarray:
    tissues = np.zeros(frame.grid.shape, dtype=np.uint8)
    paint_liver(tissues, anatomy, frame)
    labels: np.ndarray = LABEL_OF_TISSUE[tissues]
    return labels


def _refined(frame: Frame) -> tuple[Frame, tuple[int, int, int]]:
    """A frame of whole parts of a voxel of about 2 mm, and their number along each axis."""
    a, b, c = (max(1, round(s / FINE_MM)) for s in frame.grid.spacing_mm)
    affine = frame.grid.affine.copy()
    affine[:3, :3] /= [a, b, c]
    affine[:3, 3] = frame.grid.to_mm(np.array([(1 / n - 1) / 2 for n in (a, b, c)]))
    x, y, z = frame.grid.shape
    return Frame(Grid((x * a, y * b, z * c), affine), frame.origin_mm), (a, b, c)


def _tissue_signal(anatomy: Anatomy, protocol: Protocol) -> np.ndarray:
    """(LEVELS,) float32 signal of each tissue, 1 for the parenchyma."""
    t1, density = np.full(LEVELS, 1000.0), np.zeros(LEVELS)
    for tissue, (time, amount) in PROPERTIES.items():
        t1[tissue], density[tissue] = time, amount
    t1[Tissue.LIVER] = anatomy.liver_t1_ms
    t1[[Tissue.BLOOD, Tissue.PORTAL_VEIN, Tissue.HEPATIC_VEIN]] = protocol.blood_t1_ms
    for number, tumour in enumerate(anatomy.tumours):
        t1[Tissue.TUMOUR + number], density[Tissue.TUMOUR + number] = tumour.t1_ms, 0.9
    signal = spoiled_gradient_echo(t1, density, protocol.repetition_ms, protocol.flip_degrees)
    relative: np.ndarray = (signal / signal[Tissue.LIVER]).astype(np.float32)
    return relative


def _texture(rng: np.random.Generator, tissues: np.ndarray, frame: Frame, amount: float) -> np.ndarray:
    """Smooth multiplicative unevenness of the tissue with this relative standard deviation."""
    noise = rng.standard_normal(tissues.shape, dtype=np.float32)
    smooth = gaussian_filter(noise, [TEXTURE_MM / s for s in frame.grid.spacing_mm], truncate=2.5)
    return 1 + smooth * np.float32(amount / smooth.std())
