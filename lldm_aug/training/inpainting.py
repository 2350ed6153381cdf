"""What a ControlNet that is to inpaint learns from: a region of each sample, and what is around it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from lldm_aug.anatomy.measures import grown
from lldm_aug.geometry import Box
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.layers import Factors
from lldm_aug.models.surroundings import filled, touched_cells, with_surroundings
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import latent_occupancy
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet

Spacing = tuple[float, float, float]

EVERYTHING, SOME_LESIONS = 0.3, 0.75
"""Up to the first share of regions are the whole image, up to the second lesions, the rest any part."""
MOST_MARGIN_MM = 8.0
"""Around lesions; at least none."""
MOST_PARTS = 3
"""Blobs or boxes that a region is made of."""
SMALLEST_SHARE = 0.05
"""Of the image's extent, that a part spans; the largest part spans the whole image."""
ANY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


def draw_region(
    rng: np.random.Generator, mask: np.ndarray, lesions: Collection[int], spacing_mm: Spacing
) -> np.ndarray:
    """Booleans (X, Y, Z), True where an image is to be painted.

    Args:
        rng: of this region.
        mask: (X, Y, Z) integers.
        lesions: their values of what is a lesion; without one in the mask, the region is any part instead.
        spacing_mm: voxel size.
    """
    chance = rng.random()
    if chance < EVERYTHING:
        return np.ones(mask.shape, dtype=bool)
    found, count = ndimage.label(np.isin(mask, list(lesions)), ANY_NEIGHBOUR)
    if chance < SOME_LESIONS and count:
        chosen = rng.permutation(count)[: int(rng.integers(1, count + 1))] + 1
        return grown(np.isin(found, chosen), spacing_mm, float(rng.uniform(0, MOST_MARGIN_MM)))
    return _parts(rng, mask, spacing_mm)


def _parts(rng: np.random.Generator, mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Some blobs or boxes of one size or another, around a structure as often as anywhere."""
    extent_mm = np.multiply(mask.shape, spacing_mm)
    places = [(np.arange(n) + 0.5) * s for n, s in zip(mask.shape, spacing_mm, strict=True)]
    structures = np.argwhere(mask > 0)
    near = len(structures) > 0 and rng.random() < 0.5
    middle = (structures[int(rng.integers(len(structures)))] + 0.5) * spacing_mm if near else rng.random(3) * extent_mm
    region = np.zeros(mask.shape, dtype=bool)
    region[tuple((middle / spacing_mm).astype(int))] = True  # never empty, however small the parts
    for _ in range(int(rng.integers(1, MOST_PARTS + 1))):
        share = np.exp(rng.uniform(np.log(SMALLEST_SHARE), 0))
        size_mm = np.maximum(spacing_mm, share * rng.uniform(0.5, 1, size=3) * extent_mm)
        x, y, z = (2 * np.abs(p - m) / s for p, m, s in zip(places, middle, size_mm, strict=True))
        x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
        box = rng.random() < 0.5
        region |= np.maximum(np.maximum(x, y), z) <= 1 if box else x**2 + y**2 + z**2 <= 1
        middle = np.clip(middle + rng.normal(size=3) * size_mm / 2, 0, extent_mm)
    return region


KNOWN_WEIGHT = 0.1
"""Of latent cells that are known when an image is inpainted, in the loss; they are given back there."""


@dataclass(frozen=True)
class Surroundings:
    """Regions of a batch, and what is around them.

    Args:
        image: (B, C, X, Y, Z) scaled; only what lies outside of the regions is used.
        region: (B, X, Y, Z) booleans, True where images are to be painted; what lies outside of a case belongs to it.
        inside: (B, 1, X, Y, Z) booleans, True where there is a case.
        compression: voxels per latent cell.
    """

    image: torch.Tensor
    region: torch.Tensor
    inside: torch.Tensor
    compression: Factors

    @classmethod
    def drawn(
        cls,
        cases: CaseSet,
        rows: Sequence[Row],
        boxes: Sequence[Box | None],
        labels: torch.Tensor,
        seed: int,
        stage: str,
    ) -> Surroundings:
        """Those of a batch, a pure function of seed, stage and rows; images are read where something of them is seen.

        Args:
            cases: the training cases.
            rows: of the batch.
            boxes: parts of the cases that the rows show.
            labels: (B, X, Y, Z) their masks.
            seed: of the run.
            stage: its name.
        """
        record, lesions = cases.record, [cases.schema.value(name) for name in cases.record.lesions]
        inside = cases.inside([row.case_id for row in rows], boxes)
        regions, images = [], []
        for row, box, label, known in zip(rows, boxes, labels, inside, strict=True):
            rng = numpy_rng(seed, stage, "region", row.step, row.number)
            region = torch.from_numpy(draw_region(rng, label.numpy(), lesions, record.spacing_mm)) | ~known[0]
            unseen = torch.zeros(len(record.dataset_json["channel_names"]), *label.shape)
            regions.append(region)
            images.append(unseen if region.all() else cases.load(row.case_id, box).image)
        return cls(torch.stack(images), torch.stack(regions), inside, record.compression)

    def to(self, device: torch.device) -> Surroundings:
        """The same elsewhere."""
        return Surroundings(self.image.to(device), self.region.to(device), self.inside.to(device), self.compression)

    @property
    def cells(self) -> torch.Tensor:
        """(B, 1, x, y, z) booleans: latent cells that hold a voxel of the region."""
        return touched_cells(self.region, self.compression)

    def told(self, condition: torch.Tensor) -> torch.Tensor:
        """What the network is told beside a mask (B, S, X, Y, Z)."""
        return with_surroundings(condition, self.image, self.region)

    @torch.no_grad()
    def clean(self, drawn: torch.Tensor, autoencoder: Autoencoder, latents: LatentCache) -> torch.Tensor:
        """Normalised clean latents (B, L, x, y, z) that show nothing of what the region held in cells around it.

        An encoder sees further than a cell, so latents of the whole image know of the region beyond its border. As in
        inpainting, cells around it are those of the image with the region filled.

        Args:
            drawn: (B, L, x, y, z) normalised latents of the whole image.
            autoencoder: the encoder.
            latents: what they are normalised by.
        """
        seen = ~self.region.flatten(1).all(1)
        if not seen.any():
            return drawn
        around = latents.normalise(autoencoder.encode(filled(self.image[seen], self.region[seen]))[0])
        result = drawn.clone()
        result[seen] = torch.where(self.cells[seen], drawn[seen], around)
        return result

    @property
    def counted(self) -> torch.Tensor:
        """Weights (B, 1, x, y, z) of latent cells: full in the region, small elsewhere, none outside of the case."""
        weights = torch.where(self.cells, 1.0, KNOWN_WEIGHT)
        return weights * latent_occupancy(self.inside.float(), self.compression)
