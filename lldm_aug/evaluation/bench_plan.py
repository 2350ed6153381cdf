"""What ``lldm-aug bench faithfulness`` is to measure: resolved and refused before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold
from lldm_aug.evaluation.heldout import HeldOut, check_kind, choose_heldout, heldout_notes, refuse_seen
from lldm_aug.evaluation.training_cases import find_training
from lldm_aug.models.config_file import generator_folder
from lldm_aug.models.description import Description
from lldm_aug.models.mask_description import MaskDescription
from lldm_aug.resources import pretrained_dir
from lldm_aug.synthesis.plan import MaskRequest, request_masks

SEGMENTER = "segmenter"


@dataclass(frozen=True)
class BenchPlan:
    """A resolved bench.

    Args:
        generator: its folder.
        description: of the generator.
        heldout: the real cases to compare with.
        training: the data set that the generator was trained on; None leaves the search for copies out.
        training_cases: its cases that the generator saw.
        referee: folder of the referee; None leaves faithfulness out.
        sampling: of the generator.
        seed: of the run.
        learned: request for new masks, if pairs with them are to be measured too.
        notes: what was left out or changed, in words.
    """

    generator: Path
    description: Description
    heldout: HeldOut
    training: RawDataset | None
    training_cases: tuple[str, ...]
    referee: Path | None
    sampling: SamplingSettings
    seed: int
    learned: MaskRequest | None
    notes: tuple[str, ...]

    @property
    def masks(self) -> MaskRequest:
        """The masks of set A, each once."""
        return MaskRequest("real", self.heldout.dataset, self.heldout.split)


def plan_bench(
    *,
    model: Path | None,
    data: str,
    fold: Fold | None,
    training: str | None,
    referee: Path | None,
    n: int,
    seed: int,
    new_masks: str | None = None,
) -> BenchPlan:
    """Finds everything and fills in what was left open.

    Args:
        model: generator or run folder; None for the embedded one.
        data: data set with the held-out cases.
        fold: its fold whose validation cases are held out; None for all its cases.
        training: data set that the generator was trained on; None to look for it by its name.
        referee: segmenter; None for the generator's own.
        n: cases to generate.
        seed: decides every random number.
        new_masks: ``learned`` to measure pairs with masks of the generator's mask model too.

    Raises:
        CheckpointError: without a generator, or without a mask model where one is asked for.
        DatasetError, LabelError: when data are missing or do not suit the generator.
        LeakageError: when a stage has seen a held-out case.
    """
    folder = generator_folder(model if model is not None else pretrained_dir())
    description = Description.read(folder)
    dataset = RawDataset.find(data)
    check_kind(dataset, description)
    heldout = choose_heldout(dataset, fold, n)
    refuse_seen(heldout, description.stages, "the generator", folder)
    notes = heldout_notes(heldout)
    seen, training_cases, missing = find_training(description.stages, training)
    own = folder / SEGMENTER
    if referee is None and own.is_dir():
        referee = own
    if referee is None:
        notes.append(f"faithfulness was not measured: the generator has no {SEGMENTER}/ of its own, and no --referee")
    if missing:
        notes.append(f"copies were not looked for: {missing}")
    source = model if model is not None else folder
    return BenchPlan(
        generator=folder,
        description=description,
        heldout=heldout,
        training=seen,
        training_cases=training_cases,
        referee=referee,
        sampling=description.sampling,
        seed=seed,
        learned=_learned(new_masks, heldout, description, source),
        notes=tuple(notes),
    )


def _learned(kind: str | None, heldout: HeldOut, description: Description, model: Path) -> MaskRequest | None:
    if kind is None:
        return None
    request = request_masks(description, kind, None, None, model=model)
    if request.model is not None:
        refuse_seen(heldout, MaskDescription.read(request.model).stages, "the mask model", request.model)
    return request
