"""One phantom case: image and labels of a seed on any grid, labels as an annotator draws them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, label, maximum, maximum_filter

from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS, largest_component
from lldm_aug.anatomy.reconnect import reconnect
from lldm_aug.data.raw import Case
from lldm_aug.geometry import Grid
from lldm_aug.labels import HBP
from lldm_aug.phantom.anatomy import Person, draw_anatomy, tissue_density, tissue_t1
from lldm_aug.phantom.frame import BodyFrame, Factors
from lldm_aug.phantom.paint import paint_liver, tissue_map
from lldm_aug.phantom.scanner import Protocol, block_mean, receive, sample, spoiled_gradient_echo
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
    return _labels(draw_anatomy(seed), BodyFrame.centred(grid))


def phantom_case(seed: int, index: int, grid: Grid) -> Case:
    """Case number ``index`` of the phantom data set that a seed stands for.

    Its image is (1, X, Y, Z) float32 with whole positive intensities inside the body and exact zeros outside.
    """
    case_seed = derive_seed(seed, "phantom case", index)
    anatomy, frame = draw_anatomy(case_seed), BodyFrame.centred(grid)
    image = render(anatomy, frame, case_seed)
    return Case(f"phantom_{index:04d}", image[None], _labels(anatomy, frame), grid)


def render(anatomy: Person, frame: BodyFrame, seed: int) -> np.ndarray:
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


def _labels(anatomy: Person, frame: BodyFrame) -> np.ndarray:
    """Labels on the frame, annotated in the liver's box only."""
    labels = np.zeros(frame.grid.shape, dtype=np.int16)
    slices, box = frame.crop(*anatomy.liver_box_mm)
    fine, factors = box.refined(FINE_MM)
    tissues = np.zeros(fine.grid.shape, dtype=np.uint8)
    paint_liver(tissues, anatomy, fine)
    labels[slices] = annotate(LABEL_OF_TISSUE[tissues], factors)
    return labels


def _voxel_signal(anatomy: Person, frame: BodyFrame, protocol: Protocol) -> np.ndarray:
    """(X, Y, Z) float32 signal of the voxels: the mean over their parts, 1 for evenly enhanced parenchyma."""
    fine, factors = frame.refined(FINE_MM)
    tissues = tissue_map(anatomy, fine)
    signal = sample(_tissue_signal(anatomy, protocol)[tissues], factors, frame, protocol)
    if anatomy.uptake is not None:
        parenchyma = sample((tissues == Tissue.LIVER).astype(np.float32), factors, frame, protocol)
        signal += parenchyma * anatomy.uptake(*frame.positions())
    return signal


def _tissue_signal(anatomy: Person, protocol: Protocol) -> np.ndarray:
    """(LEVELS,) float32 signal of each tissue, 1 for the parenchyma."""
    t1 = tissue_t1(anatomy)
    t1[[Tissue.BLOOD, Tissue.PORTAL_VEIN, Tissue.HEPATIC_VEIN]] = protocol.blood_t1_ms
    signal = spoiled_gradient_echo(t1, tissue_density(), protocol.repetition_ms, protocol.flip_degrees)
    relative: np.ndarray = (signal / signal[Tissue.LIVER]).astype(np.float32)
    return relative


def _texture(rng: np.random.Generator, frame: BodyFrame, amount: float) -> np.ndarray:
    """Smooth multiplicative unevenness of the tissue with this relative standard deviation."""
    noise = rng.standard_normal(frame.grid.shape, dtype=np.float32)
    smooth = gaussian_filter(noise, [TEXTURE_MM / s for s in frame.grid.spacing_mm], truncate=2.5)
    return 1 + smooth * np.float32(amount / smooth.std())


HALF = 0.5 - 1e-6
LIVER, PORTAL, HEPATIC, TUMOUR = (HBP.value(name) for name in ("liver", "portal_vein", "hepatic_vein", "hcc"))


def annotate(fine: np.ndarray, factors: Factors) -> np.ndarray:
    """(X, Y, Z) int16 labels of voxels from the labels of their parts.

    A voxel belongs to the liver if the liver, with all that lies in it, fills at least half of the voxel; the result is
    reduced to one connected component. Vessels and tumours are drawn in the same manner. A tumour that is too small to
    fill half of any voxel gets those that it fills at least half as much as its fullest one, and its two fullest in any
    case. Thin branches that come apart are joined along the voxels that they fill most. Specks are removed.

    Args:
        fine: labels of the parts, in the schema `lldm_aug.labels.HBP`.
        factors: parts of a voxel along each axis.
    """
    inside = largest_component(block_mean(fine > 0, factors) >= HALF)
    share = {number: block_mean(fine == number, factors) * inside for number in (PORTAL, HEPATIC, TUMOUR)}
    labels = inside.astype(np.int16) * LIVER
    labels[_tumours(share[TUMOUR])] = TUMOUR
    for vein, rival in ((HEPATIC, PORTAL), (PORTAL, HEPATIC)):
        labels[_branches(share[vein], (share[rival] >= HALF) | (labels > LIVER))] = vein
    lost = _specks(labels == LIVER, SPECK_VOXELS)
    labels[lost] = maximum_filter(labels, 3)[lost]  # parenchyma walled in by a lesion or a vessel becomes part of it
    return labels


def _tumours(share: np.ndarray) -> np.ndarray:
    """Voxels filled at least half as much as the fullest voxel of the same tumour, the two fullest in any case."""
    components, count = label(share > 0, ANY_NEIGHBOUR)
    fullest = _highest(share, components, count)
    second = _highest(np.where(share == fullest[components], 0, share), components, count)
    drawn: np.ndarray = (share > 0) & ((share >= fullest[components] * HALF) | (share == second[components]))
    splinters = _specks(drawn, 2) & (share < fullest[components])
    return drawn & ~splinters


def _highest(share: np.ndarray, components: np.ndarray, count: int) -> np.ndarray:
    """(count + 1,) highest share in each connected component; 0 for what is in none."""
    highest = np.zeros(count + 1, dtype=np.float32)
    highest[1:] = maximum(share, components, np.arange(1, count + 1))
    return highest


def _branches(share: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Half-filled voxels, joined over less filled ones that nothing else has taken; one connected component."""
    free = np.where(taken, 0, share)
    filled = free >= HALF
    return largest_component(reconnect(filled & ~_specks(filled, SPECK_VOXELS), free), ANY_NEIGHBOUR)


def _specks(mask: np.ndarray, least: int) -> np.ndarray:
    """The connected components of fewer voxels than that."""
    components, _ = label(mask, ANY_NEIGHBOUR)
    small: np.ndarray = mask & (np.bincount(components.ravel())[components] < least)
    return small
