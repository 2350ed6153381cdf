"""A host with an edited mask, painted to fit: a pure function of inpainter, masks, run seed and index."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from lldm_aug.anatomy.measures import box_around
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import InvalidVolume, LabelError
from lldm_aug.inpainting.inpainter import Inpainter
from lldm_aug.inpainting.region_choice import choose_region
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.masks.source import MAX_DRAWS, DrawnMask, MaskSource
from lldm_aug.pool.manifest import InpaintedRegion
from lldm_aug.pool.writer import Inpainted
from lldm_aug.seeds import derive_seed
from lldm_aug.synthesis.synthetic_case import SyntheticCase

CACHED_HOSTS = 8


@dataclass(frozen=True)
class InpaintedPairs:
    """Makes pairs whose image and mask are a real case's but for a region.

    Args:
        dataset: the hosts.
        source: masks, each made from one of the hosts, on its own grid.
        inpainter: paints.
        region: see `choose_region`.
        margin_mm: likewise.
        lesions: names of the structures that are lesions.
        strength: of the inpainter, for the manifest.
    """

    dataset: RawDataset
    source: MaskSource
    inpainter: Inpainter
    region: str
    margin_mm: float
    lesions: Collection[str]
    strength: float = 1.0

    def make(self, run_seed: int, index: int) -> SyntheticCase:
        """One pair. A host in which there is nothing to paint, or cannot be painted, is passed over for the next.

        Raises:
            LabelError, InvalidVolume: when no host within the bounds could be painted, no mask could be drawn, or a
                host cannot be read.
        """
        seed = derive_seed(run_seed, "case", index)
        refused: LabelError | InvalidVolume | None = None
        for attempt in range(MAX_DRAWS):
            mask = self.source.draw(index + attempt, seed)
            host = self._load(_host_of(mask))
            try:
                return self._painted(host, mask, index, seed)
            except (LabelError, InvalidVolume) as error:
                refused = error
        assert refused is not None  # MAX_DRAWS is at least 1
        raise refused

    def _painted(self, host: Case, mask: DrawnMask, index: int, seed: int) -> SyntheticCase:
        label = mask.label.data
        region = choose_region(
            self.region, host.label, label, self.source.schema, self.lesions, host.grid.spacing_mm, self.margin_mm
        )
        painted = self.inpainter.inpaint(host, label, region, derive_seed(seed, "inpainting"))
        record = InpaintedRegion(
            region=self.region,
            margin_mm=self.margin_mm,
            paint=self.inpainter.kind,
            strength=self.strength,
            voxels=int(region.sum()),
            box=_box_of(region),
        )
        donors = {case_id: self.dataset.label_hash(case_id) for case_id in painted.donors}
        origin = mask.origin.model_copy(update={"donors": {**mask.origin.donors, **donors}})
        images, mask_file = self.dataset.image_paths(host.case_id), self.dataset.label_path(host.case_id)
        inpainted = Inpainted(host, images, mask_file, region, record)
        return SyntheticCase(index, seed, painted.image, label, host.grid, origin, inpainted)

    @cached_property
    def _load(self) -> Callable[[str], Case]:
        return lru_cache(maxsize=CACHED_HOSTS)(self._read)

    def _read(self, case_id: str) -> Case:
        """A host, its mask in the schema of the mask source."""
        case = self.dataset.load(case_id)
        label = Relabelling(self.dataset.schema, self.source.schema).apply(case.label)
        return Case(case_id, case.image, label, case.grid)


def _host_of(mask: DrawnMask) -> str:
    assert mask.origin.source_case is not None  # only masks of real cases are edited
    return mask.origin.source_case


def _box_of(region: np.ndarray) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    x, y, z = ((s.start, s.stop) for s in box_around(region, (0, 0, 0)))
    return x, y, z
