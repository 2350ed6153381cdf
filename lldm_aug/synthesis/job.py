"""A run of ``lldm-aug generate``, planned and then begun: what makes its cases, and what judges them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lldm_aug.anatomy.declaration import find_anatomy
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.models.description import Description
from lldm_aug.pool.manifest import PoolInfo
from lldm_aug.synthesis.generation_plan import MaskRequest, describe_pool, make_filter

if TYPE_CHECKING:
    import torch

    from lldm_aug.data.raw import RawDataset
    from lldm_aug.synthesis.generate import MakeCase
    from lldm_aug.synthesis.inpainting_plan import InpaintingSettings
    from lldm_aug.synthesis.quality_filter import QualityFilter


@dataclass(frozen=True)
class Job:
    """A run that may begin.

    Args:
        info: the pool's ``pool.json``.
        make: makes one case.
        quality_filter: judges it, if anything does.
    """

    info: PoolInfo
    make: MakeCase
    quality_filter: QualityFilter | None


class JobPlan(Protocol):
    """What a run is to do, with nothing loaded or written yet."""

    def lines(self) -> Iterator[str]:
        """The same in words; errors as `begin`, but for those of weights."""

    @property
    def hosts(self) -> RawDataset | None:
        """The real cases that are painted in, if any are."""

    def begin(self, device: torch.device) -> Job:
        """Loads what the run needs.

        Raises:
            LldmAugError: when something is missing, damaged, or does not fit the rest.
        """


@dataclass(frozen=True)
class GeneratorPlan:
    """A run with a generator; see `JobPlan`.

    Args:
        folder: the generator's.
        description: the generator's.
        masks: what to draw.
        seed: of the run.
        sampling: solver, steps and guidance.
        segmenter: folder of what judges, if anything does.
        inpainting: how hosts are painted; None for images that are synthetic as a whole.
    """

    folder: Path
    description: Description
    masks: MaskRequest
    seed: int
    sampling: SamplingSettings
    segmenter: Path | None
    inpainting: InpaintingSettings | None

    def lines(self) -> Iterator[str]:
        """See `JobPlan`."""
        schema = self.masks.schema(self.description)
        hidden = Relabelling(schema, self.description.labels).unknown
        yield f"generator  {self.folder}"
        yield mask_line(self.masks)
        yield f"structures {', '.join(schema.names)}; unknown: {', '.join(hidden) or 'none'}"
        yield f"sampling   {self.sampling.model_dump()}"
        if self.inpainting is not None:
            yield f"inpainting {self.inpainting.model_dump()}"
        quality_filter = self._quality_filter("cpu")
        by = None if quality_filter is None else quality_filter.segmenter.hash[:12]
        yield "filter     " + ("none" if by is None else f"segmenter {by} of {self.segmenter}")

    @property
    def hosts(self) -> RawDataset | None:
        """See `JobPlan`."""
        return None if self.inpainting is None else self.masks.dataset

    def begin(self, device: torch.device) -> Job:
        """See `JobPlan`."""
        from lldm_aug.models.generator import Generator
        from lldm_aug.synthesis.synthetic_case import make_case

        generator = Generator.load(self.folder).to(device)
        source, quality_filter = self.masks.source(self.description, device), self._quality_filter(device)
        info = describe_pool(
            self.description, generator.hash, self.masks, self.seed, self.sampling, quality_filter, self.inpainting
        )
        if self.inpainting is None:
            return Job(info, partial(make_case, generator, source, self.sampling), quality_filter)
        from lldm_aug.inpainting.diffusion_inpainter import DiffusionInpainter

        assert self.masks.dataset is not None
        schema, strength = source.schema, self.inpainting.strength
        tissues = find_anatomy(self.masks.dataset).within(schema).tissues
        inpainter = DiffusionInpainter(generator, schema, self.sampling, strength, tissues)
        return Job(info, self.inpainting.pairs(self.masks.dataset, source, inpainter).make, quality_filter)

    def _quality_filter(self, device: torch.device | str) -> QualityFilter | None:
        return None if self.segmenter is None else make_filter(self.description, self.masks, self.segmenter, device)


def mask_line(masks: MaskRequest) -> str:
    """Kind and source of masks, for a reader."""
    of = f"of {len(masks.cases)} cases of {masks.dataset.name}" if masks.dataset is not None else ""
    return f"masks      {masks.kind} {of}"
