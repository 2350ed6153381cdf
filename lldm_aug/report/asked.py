"""What a report was asked for besides its folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold
from lldm_aug.pool.manifest import MaskOrigin, PoolInfo
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.report.leaks import LeakState, against, on_record


@dataclass(frozen=True)
class Asked:
    """Options of a report.

    Args:
        pairs: accepted pairs of each pool for the viewer; a third as many rejected ones are added.
        dataset: data set whose fold is searched for in the history of pools and generators.
        fold: that fold.
    """

    pairs: int = 6
    dataset: RawDataset | None = None
    fold: Fold = 0

    def leak_state(
        self, generator: GeneratorProvenance, origins: Iterable[MaskOrigin] = (), pool: PoolInfo | None = None
    ) -> LeakState:
        """What is known of validation cases in a generator, or in a pool of its cases."""
        if self.dataset is not None:
            return against(self.dataset, self.fold, generator, origins)
        return on_record(generator.stages, pool)
