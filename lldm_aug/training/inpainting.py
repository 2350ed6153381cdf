"""What a ControlNet that is to inpaint learns from: a region of each sample, and what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lldm_aug.geometry import Box
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.layers import Factors
from lldm_aug.models.region import filled, touched_cells, with_surroundings
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.latents import LatentCache
from lldm_aug.training.losses import latent_occupancy
from lldm_aug.training.order import Row
from lldm_aug.training.regions import draw_region

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
