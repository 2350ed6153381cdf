"""What a generator saw while it was trained: the facts that decide whether a synthetic case leaks."""

from __future__ import annotations

from lldm_aug.record import Record


class StageProvenance(Record):
    """The training cases of one stage.

    Args:
        stage: ``autoencoder``, ``diffusion`` or ``controlnet``; ``masks_autoencoder`` or ``masks_diffusion`` of a mask
            model; ``segmenter`` of an evaluation segmenter.
        dataset: name of the data set folder, such as ``Dataset700_HBPPhantom``.
        fold: fold number or ``all``.
        split_hash: `Split.hash` of the split.
        cases: SHA-256 of the mask file of each case id that the stage saw.
        unlabelled: those of them whose image it saw, but not the mask.
    """

    stage: str
    dataset: str
    fold: int | str
    split_hash: str
    cases: dict[str, str]
    unlabelled: tuple[str, ...] = ()

    @property
    def labelled(self) -> dict[str, str]:
        """The cases whose masks it may have seen."""
        return {case: sha256 for case, sha256 in self.cases.items() if case not in self.unlabelled}


class GeneratorProvenance(Record):
    """A generator's identity and history.

    Args:
        hash: SHA-256 over the generator's files.
        stages: one entry for each training run that shaped the weights, fine-tuning's predecessors included.
    """

    hash: str
    stages: tuple[StageProvenance, ...]
