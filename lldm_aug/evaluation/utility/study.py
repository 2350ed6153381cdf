"""Running the cells of a study, one after another; what is finished is found again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from lldm_aug.anatomy.declaration import find_anatomy
from lldm_aug.blending.blend import MapStyle
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.config.stages import SegmenterTrainSettings
from lldm_aug.data.partial import read_partial_labels
from lldm_aug.errors import ConfigError, FolderInUse
from lldm_aug.evaluation.utility.cell import REAL_AUG, Cell, CellScores, begin, is_finished, scores_of, write_scores
from lldm_aug.evaluation.utility.data import AIR, Pair, StudyData, crop_to, pad_to
from lldm_aug.evaluation.utility.engine import other_engine
from lldm_aug.evaluation.utility.study_networks import NetworkSizes, build_network
from lldm_aug.evaluation.utility.study_plan import MONAI, Source, StudyPlan
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.score import StructureScore, score_case
from lldm_aug.models.segmenter import predict_labels
from lldm_aug.processes import held_by_main
from lldm_aug.seeds import derive_seed
from lldm_aug.training.augment import augmented, strongly_augmented
from lldm_aug.training.loop import train_stage
from lldm_aug.training.order import Row
from lldm_aug.training.segmenter_stage import segmentation_loss
from lldm_aug.volume import Volume

if TYPE_CHECKING:
    from accelerate import Accelerator

NAME = "utility"
Augment = Callable[[torch.Tensor, torch.Tensor, SegmenterTrainSettings, int, int, int], Pair]


@dataclass
class NetworkStage:
    """A stage whose cases may be blended with synthetic ones; see `lldm_aug.training.stage.Stage`.

    Args:
        module: the network.
        settings: of its optimisation.
        case_ids: names of the real cases, in the order of ``data``.
        data: the real cases as pairs, or a blend around them.
        schema: what the masks mean.
        augment: changes a view of each case.
        seed: of order, blend and augmentation.
        finish: is given the trained network.
    """

    module: nn.Module
    settings: SegmenterTrainSettings
    case_ids: tuple[str, ...]
    data: MapStyle[Pair]
    schema: LabelSchema
    augment: Augment
    seed: int
    finish: Callable[[nn.Module], None]
    name: str = NAME

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        views = [self._view(row) for row in rows]
        image = torch.stack([image for image, _ in views]).to(device)
        label = torch.stack([label for _, label in views]).to(device)
        with torch.random.fork_rng():  # drop-out draws from torch's global generator
            torch.manual_seed(derive_seed(self.seed, "drop-out", rows[0].step, rows[0].number))
            logits = model(image)
        return segmentation_loss(logits, label, self.schema, self.settings.structure_weight)

    def preview(self, path: Path) -> None:
        """Draws nothing: there are too many networks in a study to look at each."""

    def export(self, folder: Path) -> None:
        """Scores the network, whose averaged weights are in."""
        self.finish(self.module)

    def _view(self, row: Row) -> Pair:
        if isinstance(self.data, SyntheticMixin):
            self.data.set_epoch((row.step * self.settings.batch_size + row.number) // len(self.case_ids))
        image, label = self.data[self.case_ids.index(row.case_id)]
        if self.settings.patch is not None:
            image, label = pad_to(image, self.settings.patch, AIR), pad_to(label, self.settings.patch, 0)
        return self.augment(image, label, self.settings, self.seed, row.step, row.number)


Found = Callable[[str, Volume], np.ndarray]
"""Gives the labels that were found in a case, on the grid of its true mask."""


def score_found(plan: StudyPlan, cell: Cell, found: Found) -> dict[str, tuple[StructureScore, ...]]:
    """Scores of all structures by case, on each case's own grid and in millimetres."""
    dataset, case_ids = plan.judged(cell.fold)
    unknown, lesions, scores = read_partial_labels(dataset), find_anatomy(plan.dataset).lesions, {}
    for case_id in case_ids:
        truth = dataset.load_label(case_id)
        scores[case_id] = score_case(
            found(case_id, truth),
            truth.data,
            dataset.schema,
            truth.grid.spacing_mm,
            plan.settings.tolerance_mm,
            unknown.get(case_id, ()),
            lesions=lesions,
        )
    return scores


Progress = Callable[[int, str], None]
LEFTOVERS = ("checkpoints", "samples", "best")


def run_study(
    plan: StudyPlan,
    data: StudyData,
    accelerator: Accelerator,
    num_parts: int = 1,
    part_id: int = 0,
    progress: Progress = lambda done, note: None,
) -> tuple[Cell, ...]:
    """Trains and scores the cells of a part that are not finished yet.

    Args:
        plan: the study.
        data: its cases.
        accelerator: its processes share each cell's batches.
        num_parts: parts that the cells are dealt out to, see `StudyPlan.part`.
        part_id: which part this is.
        progress: is told the number of finished cells, and which one is under way.

    Returns:
        The cells that were left out, since other processes are at work on them.

    Raises:
        ConfigError: for a part that is not in 0..num_parts - 1, or several processes that nnU-Net cannot use.
        IncompatibleResume: when a cell of this part, or a finished one of any, was begun with other data or settings.
        LldmAugError: as `train_stage`.
    """
    mine = plan.part(num_parts, part_id)
    if plan.settings.engine != MONAI and accelerator.num_processes > 1:
        raise ConfigError("nnU-Net trains on one process", fix="share the cells by --num-parts and --part-id")
    with accelerator.main_process_first():
        for source in plan.sources.values():
            make_pool(plan, source, str(accelerator.device))
    # Before the long work, which would end in tables that cannot be written. All processes have to pass over the same.
    (over,) = broadcast_object_list([{*finished(plan, data)}])
    left = []
    for done, cell in enumerate(mine):
        progress(done, str(cell))
        if cell in over:
            continue
        try:
            with held_by_main(cell.folder(plan.out), accelerator):
                _advance(plan, data, cell, accelerator)
        except FolderInUse:
            left.append(cell)
    return tuple(left)


def _advance(plan: StudyPlan, data: StudyData, cell: Cell, accelerator: Accelerator) -> None:
    """Brings a cell to its end, unless that has happened meanwhile."""
    with accelerator.main_process_first():
        scored = begin(cell, plan.out, data.request(cell)) is not None
        if not scored and plan.settings.engine == MONAI:
            data.prepare(cell)
    if not scored:
        _run(plan, data, cell, accelerator)


def _run(plan: StudyPlan, data: StudyData, cell: Cell, accelerator: Accelerator) -> None:
    engine = other_engine(plan.settings)
    if engine is None:
        run_cell(plan, data, cell, accelerator)
    else:
        engine.run(plan, cell, accelerator.device.type)


def run_cell(plan: StudyPlan, data: StudyData, cell: Cell, accelerator: Accelerator) -> None:
    """Trains the network of a cell and scores it; an interrupted training goes on."""
    start, settings, folder = time.perf_counter(), plan.settings, cell.folder(plan.out)
    dataset = plan.dataset
    sizes = NetworkSizes(
        len(dataset.channel_names), 1 + len(dataset.schema.names), settings.width, settings.patch, settings.spacing_mm
    )
    strong = partial(strongly_augmented, spacing_mm=settings.spacing_mm)

    def finish(network: nn.Module) -> None:
        prepared = data.real(*plan.judged(cell.fold))

        def found(case_id: str, truth: Volume) -> np.ndarray:
            return data.grid.back(predict(network, prepared.load(case_id).image, settings.patch), truth.grid)

        cases = score_found(plan, cell, found)
        write_scores(cell, plan.out, CellScores(seconds=time.perf_counter() - start, cases=cases))

    stage = NetworkStage(
        module=build_network(cell.network, sizes, cell.seed),
        settings=settings.stage,
        case_ids=plan.sources[cell.fold, cell.label_fraction].labelled,
        data=data.training(cell),
        schema=dataset.schema,
        augment=strong if cell.arm.kind == REAL_AUG else augmented,
        seed=cell.seed,
        finish=finish,
    )
    train_stage(stage, accelerator, folder, cell.seed, lambda step, figures: None)
    accelerator.free_memory()
    if accelerator.is_main_process:
        for name in LEFTOVERS:
            shutil.rmtree(folder / name, ignore_errors=True)


def predict(network: nn.Module, image: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """The most likely labels (X, Y, Z) of a scaled (C, X, Y, Z) image, by windows as large as the patches."""
    device = next(network.parameters()).device
    whole = torch.from_numpy(image)
    padded = pad_to(whole, patch, AIR)[None].to(device)
    labels = predict_labels(network, padded, patch)[0].cpu()
    sides = (whole.shape[1], whole.shape[2], whole.shape[3])
    return crop_to(labels, sides).numpy()


def make_pool(plan: StudyPlan, source: Source, device: str) -> None:
    """Fills a pool that the study makes itself, with deformed masks of the label fraction.

    Raises:
        PoolError, IncompatibleResume: when the folder holds another pool.
    """
    if source.pool is None or plan.out not in source.pool.parents:
        return
    from lldm_aug.data.splits import Split
    from lldm_aug.models.generator import Generator
    from lldm_aug.pool.writer import open_pool
    from lldm_aug.synthesis.generate import generate, missing_indices
    from lldm_aug.synthesis.generation_plan import MaskRequest, describe_pool
    from lldm_aug.synthesis.synthetic_case import make_case

    assert source.generator is not None
    generator = Generator.load(source.generator).to(device)
    split = Split(source.split.fold, source.labelled, source.split.val)
    request, description = MaskRequest("deformed", plan.dataset, split), generator.description
    open_pool(source.pool, describe_pool(description, generator.hash, request, 0, description.sampling))
    todo = missing_indices(source.pool, plan.settings.pairs, 0)
    make = partial(make_case, generator, request.source(description, device), description.sampling)
    for _ in generate(make, source.pool, 0, todo):
        pass


def finished(plan: StudyPlan, data: StudyData) -> dict[Cell, CellScores]:
    """The scores of all finished cells, whichever part they belong to.

    Raises:
        IncompatibleResume: when one was made with other data or settings: a table must not mix them.
        CheckpointError: when one cannot be read.
    """
    there = [cell for cell in plan.cells() if is_finished(cell, plan.out)]
    found = ((cell, scores_of(cell, plan.out, data.request(cell))) for cell in there)
    return {cell: scores for cell, scores in found if scores is not None}


def statistics_file(cell: Cell, out: Path) -> Path:
    """The lines that the training loop wrote."""
    return cell.folder(out) / "stats.jsonl"
