"""One phantom case: image and labels of a seed on any grid."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.phantom.acquisition import Protocol
from lldm_aug.phantom.anatomy import Anatomy, draw_anatomy, tissue_density, tissue_t1
from lldm_aug.phantom.annotation import annotate
from lldm_aug.phantom.frame import Frame
from lldm_aug.phantom.paint import paint_liver, tissue_map
from lldm_aug.phantom.scanner import receive, sample, spoiled_gradient_echo
from lldm_aug.phantom.tissues import LABEL_OF_TISSUE, Tissue
from lldm_aug.seeds import derive_seed, numpy_rng

DEFAULT_GRID = Grid.regular((96, 96, 64), (3.3, 2.7, 3.4))
"""The grid of the embedded generator: a whole trunk's width, depth and the height of a liver."""
FINE_MM = 1.75
"""Tissues are painted on parts of voxels no longer than this."""
TEXTURE_MM = 3.0
FLARE_MM = 25.0
"""Depth under the skin at which the coils' nearness has faded to 1/e."""
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
    """(X, Y, Z) float32 image of an anatomy: the signal of parts of voxels, averaged, and what the scanner adds."""
    rng = numpy_rng(seed, "phantom", "acquisition")
    protocol = Protocol.draw(rng)
    signal = _voxel_signal(anatomy, frame, protocol) * _texture(rng, frame, protocol.texture)
    x, y, z = frame.positions()
    depth_mm = -anatomy.body.skin(x, y)
    near_coils = 1 + protocol.flare * np.exp(-np.maximum(depth_mm, 0) / FLARE_MM)
    shaded = signal * np.exp(protocol.shading(x, y, z)) * near_coils
    units = receive(rng, shaded, frame, protocol) * np.float32(protocol.gain)
    body = np.broadcast_to(depth_mm > -SKIN_MARGIN_MM, units.shape)
    image: np.ndarray = np.where(body, np.maximum(np.rint(units), 1), 0).astype(np.float32)
    return image


def _labels(anatomy: Anatomy, frame: Frame) -> np.ndarray:
    """Labels on the frame, annotated in the liver's box only."""
    labels = np.zeros(frame.grid.shape, dtype=np.int16)
    slices, box = frame.crop(*anatomy.liver_box_mm)
    fine, factors = box.refined(FINE_MM)
    tissues = np.zeros(fine.grid.shape, dtype=np.uint8)
    paint_liver(tissues, anatomy, fine)
    labels[slices] = annotate(LABEL_OF_TISSUE[tissues], factors)
    return labels


def _voxel_signal(anatomy: Anatomy, frame: Frame, protocol: Protocol) -> np.ndarray:
    """(X, Y, Z) float32 signal of the voxels: the mean over their parts, 1 for evenly enhanced parenchyma."""
    fine, factors = frame.refined(FINE_MM)
    tissues = tissue_map(anatomy, fine)
    signal = sample(_tissue_signal(anatomy, protocol)[tissues], factors, frame, protocol)
    if anatomy.uptake is not None:
        parenchyma = sample((tissues == Tissue.LIVER).astype(np.float32), factors, frame, protocol)
        signal += parenchyma * anatomy.uptake(*frame.positions())
    return signal


def _tissue_signal(anatomy: Anatomy, protocol: Protocol) -> np.ndarray:
    """(LEVELS,) float32 signal of each tissue, 1 for the parenchyma."""
    t1 = tissue_t1(anatomy)
    t1[[Tissue.BLOOD, Tissue.PORTAL_VEIN, Tissue.HEPATIC_VEIN]] = protocol.blood_t1_ms
    signal = spoiled_gradient_echo(t1, tissue_density(), protocol.repetition_ms, protocol.flip_degrees)
    relative: np.ndarray = (signal / signal[Tissue.LIVER]).astype(np.float32)
    return relative


def _texture(rng: np.random.Generator, frame: Frame, amount: float) -> np.ndarray:
    """Smooth multiplicative unevenness of the tissue with this relative standard deviation."""
    noise = rng.standard_normal(frame.grid.shape, dtype=np.float32)
    smooth = gaussian_filter(noise, [TEXTURE_MM / s for s in frame.grid.spacing_mm], truncate=2.5)
    return 1 + smooth * np.float32(amount / smooth.std())
