"""``lldm-aug evaluate generator``: pairs for held-out masks and a control of pure noise, beside real cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold
from lldm_aug.evaluation import goals
from lldm_aug.evaluation.comparison import Comparison, compare, count_cases
from lldm_aug.evaluation.conformed_cases import Reader, View
from lldm_aug.evaluation.evaluation_report import (
    ComparisonResults,
    comparison_facts,
    draw_mosaic,
    heldout_facts,
    markdown,
    stages_in_words,
    training_facts,
    write_results,
)
from lldm_aug.evaluation.generation import NoiseLatents, Steps, make_pool
from lldm_aug.evaluation.heldout import (
    HeldOut,
    check_kind,
    choose_heldout,
    find_training,
    heldout_notes,
    lent_by,
    refuse_seen,
)
from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.measure.meter import FOLDER, Meter
from lldm_aug.evaluation.measure.segmentation import open_segmenter
from lldm_aug.evaluation.tables.distances import ALL_PLANES
from lldm_aug.evaluation.tables.memorization import MASK
from lldm_aug.machine import Machine
from lldm_aug.models.config_file import generator_folder
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.models.mask_description import MaskDescription
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.report.criterion import Criterion, Goal, judge
from lldm_aug.report.data_table import Table
from lldm_aug.resources import pretrained_dir
from lldm_aug.synthesis.evaluation_segmenter import EvaluationSegmenter
from lldm_aug.synthesis.generation_plan import MaskRequest, request_masks

POOL, CONTROL, LEARNED = "pool", "control", "learned"
"""The pools: pairs for held-out masks, the same masks with images of pure noise, and pairs with learned masks."""
MOSAIC_CASES = 3
IMAGES = ("features", "image")
"""Distances of images in the memorization check; held-out masks are no copies."""


@dataclass(frozen=True)
class EvaluationPlan:
    """A resolved evaluation of a generator.

    Args:
        folder: of the generator.
        description: of the generator.
        heldout: the real cases to compare with.
        training: the data set that the generator was trained on; None leaves the memorization check out.
        training_cases: its cases that the generator saw.
        segmenter: the evaluation segmenter; None leaves mask consistency out.
        seed: of the run.
        learned: request for new masks, if pairs with them are to be measured too.
        notes: what was left out or changed, in words.
    """

    folder: Path
    description: Description
    heldout: HeldOut
    training: RawDataset | None
    training_cases: tuple[str, ...]
    segmenter: EvaluationSegmenter | None
    seed: int
    learned: MaskRequest | None
    notes: tuple[str, ...]

    @property
    def requests(self) -> dict[str, MaskRequest]:
        """The masks of each pool: those of set A, each once, and learned ones if they were asked for."""
        learned = {} if self.learned is None else {LEARNED: self.learned}
        return {POOL: self.heldout.request, CONTROL: self.heldout.request, **learned}

    @property
    def steps(self) -> int:
        """Steps that `run_generator` reports."""
        heldout, pools, n = self.heldout, len(self.requests), len(self.heldout.masks)
        return pools * n + count_cases(pools, n, heldout.masks, heldout.others, self.training_cases)


class GeneratorResults(ComparisonResults):
    """What ``results.json`` holds besides.

    Args:
        generator: hash of the generator.
        generator_saw: data set and fold of each of its stages.
        heldout: data set and fold of the held-out cases, ids of both sets, and cases left out.
        training: data set that was searched for copies, if any, and how many cases.
        n: cases in each set.
        sampling: of the generator.
        seconds: of each pair that was generated.
        criteria: every figure that has a goal, with its bound and verdict.
    """

    generator: str
    generator_saw: tuple[str, ...]
    heldout: dict[str, Any]
    training: dict[str, Any] | None
    n: int
    sampling: dict[str, Any]
    seconds: tuple[float, ...]
    criteria: tuple[Criterion, ...]


def plan_generator(
    *,
    model: Path | None,
    data: str,
    fold: Fold | None,
    training: str | None,
    segmenter: Path | None,
    n: int,
    seed: int,
    new_masks: str | None = None,
    device: str = "cpu",
) -> EvaluationPlan:
    """Finds everything and fills in what was left open.

    Args:
        model: generator or run folder; None for the embedded one.
        data: data set with the held-out cases.
        fold: its fold whose validation cases are held out; None for all its cases.
        training: data set that the generator was trained on; None to look for it by its name.
        segmenter: folder of the evaluation segmenter; None for the generator's own.
        n: cases to generate.
        seed: decides every random number.
        new_masks: ``learned`` to measure pairs with masks of the generator's mask model too.
        device: where the segmenter runs.

    Raises:
        CheckpointError: without a generator, or without a mask model where one is asked for.
        DatasetError, LabelError: when data are missing or do not suit the generator.
        LeakageError: when a stage or the segmenter has seen a held-out case.
    """
    folder = generator_folder(model if model is not None else pretrained_dir())
    description = Description.read(folder)
    dataset = RawDataset.find(data)
    check_kind(dataset, description)
    heldout = choose_heldout(dataset, fold, n)
    refuse_seen(heldout, description.stages, "the generator", folder)
    notes = heldout_notes(heldout)
    seen, training_cases, missing = find_training(description.stages, training)
    opened = open_segmenter(segmenter, folder, description.labels, description.num_channels, device, heldout)
    if opened is None:
        notes.append("mask consistency was not measured: the generator has no segmenter of its own, and no --segmenter")
    if missing:
        notes.append(f"copies were not looked for: {missing}")
    return EvaluationPlan(
        folder=folder,
        description=description,
        heldout=heldout,
        training=seen,
        training_cases=training_cases,
        segmenter=opened,
        seed=seed,
        learned=_learned(new_masks, heldout, description, model if model is not None else folder),
        notes=tuple(notes),
    )


def _learned(kind: str | None, heldout: HeldOut, description: Description, model: Path) -> MaskRequest | None:
    if kind is None:
        return None
    request = request_masks(description, kind, None, None, model=model)
    if request.model is not None:
        refuse_seen(heldout, MaskDescription.read(request.model).stages, "the mask model", request.model)
    return request


def run_generator(
    plan: EvaluationPlan,
    out: Path,
    generator: Generator,
    features: Sequence[FeatureCache],
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> tuple[Comparison, list[float]]:
    """Generates what is missing in the report folder's pools, then measures; a second call goes on.

    Args:
        plan: what to do.
        out: the report's folder.
        generator: the plan's, on its device.
        features: feature networks.
        progress: is told the number of steps done and what is going on.

    Returns:
        What was measured, and the seconds of each pair.

    Raises:
        IncompatibleResume: when the folder was begun with other settings.
    """
    heldout, steps, seconds = plan.heldout, Steps(progress), {}
    for name, masks in plan.requests.items():
        model = NoiseLatents.of(generator) if name == CONTROL else generator
        seconds[name] = make_pool(out / name, model, masks, plan.seed, len(heldout.masks), steps)
    pools = {name: PoolDataset(out / name) for name in plan.requests}
    reader = Reader(View.of(plan.description), plan.description.labels, heldout.dataset, heldout.masks, plan.training)
    meter = Meter(plan.description.labels, features, plan.segmenter, out / FOLDER)
    real, training = lent_by(pools[POOL]), plan.training_cases
    return compare(reader, meter, pools, real, heldout.others, training, plan.seed, steps), seconds[POOL]


def report_generator(
    plan: EvaluationPlan, comparison: Comparison, seconds: Sequence[float], generator: str, out: Path, machine: Machine
) -> GeneratorResults:
    """Makes figures of measurements, holds them against the goals, and writes all files.

    Args:
        plan: what was done.
        comparison: what was measured.
        seconds: of each pair.
        generator: its hash.
        out: the report's folder.
        machine: that measured.
    """
    heldout = plan.heldout
    results = GeneratorResults(
        **comparison_facts(comparison, (), plan.notes, out, machine),
        generator=generator,
        generator_saw=stages_in_words(plan.description.stages),
        heldout=heldout_facts(heldout),
        training=training_facts(plan.training, plan.training_cases),
        n=len(heldout.masks),
        sampling=plan.description.sampling.model_dump(mode="json"),
        seconds=tuple(seconds),
        criteria=tuple(all_criteria(comparison, seconds)),
    )
    name = heldout.dataset.name
    introduction = (
        f"Generator `{generator[:12]}`; held-out cases of {name} (fold {heldout.fold}): masks of {results.n}, compared "
        f"with {len(heldout.others)} others. `{CONTROL}` has the same masks and images decoded from pure noise: what "
        "the decoder alone achieves."
    )
    write_results(out, results, markdown("A generator on held-out masks", introduction, results, results.criteria))
    pools = {"synthetic": PoolDataset(out / POOL)}
    title = f"real and synthetic images of the same masks ({name})"
    draw_mosaic(out, heldout.dataset, pools, MOSAIC_CASES, title)
    return results


def all_criteria(comparison: Comparison, seconds: Sequence[float]) -> list[Criterion]:
    """Every figure that has a goal."""
    control = comparison.tables[CONTROL]
    judged = [
        *_consistency(comparison, POOL, control),
        *_kid(comparison, control),
        *_signal(comparison, control),
        _adequate(comparison, POOL),
        *_memorization(comparison, POOL, IMAGES),
    ]
    if LEARNED in comparison.pools:
        judged += [c.model_copy(update={"figure": f"learned masks: {c.figure}"}) for c in _of_learned(comparison)]
    median = float(np.median(seconds)) if seconds else None
    return [*judged, judge("seconds per generated pair", goals.SECONDS, median)]


def _of_learned(comparison: Comparison) -> list[Criterion]:
    """No real case is the counterpart of a learned mask, so signal, texture and KID have no goal there."""
    own = [*_consistency(comparison, LEARNED, {}), _adequate(comparison, LEARNED)]
    return [*own, *_memorization(comparison, LEARNED, (*IMAGES, MASK))]


def _consistency(comparison: Comparison, name: str, control: dict[str, Table]) -> Iterator[Criterion]:
    rows = _rows(comparison.tables[name]["mask_consistency"])
    noise = {row["structure"]: row["ratio"] for row in _rows(control["mask_consistency"])} if control else {}
    by_structure = {row["structure"]: row for row in rows}
    for structure in comparison.reader.schema.names:
        row = by_structure.get(structure)
        if row is None:
            yield judge("mask consistency", goals.MASK_CONSISTENCY, None, structure=structure, note="no segmenter")
            continue
        beside = {"dice_synthetic": row["synthetic"], "dice_real": row["real"], **_interval(row)}
        if control:
            beside["control"] = noise[structure]
        note = f"{row['n_real']} cases" if row["n_real"] else "no held-out mask holds it"
        yield judge(
            "mask consistency", goals.MASK_CONSISTENCY, row["ratio"], structure=structure, beside=beside, note=note
        )


def _kid(comparison: Comparison, control: dict[str, Table]) -> list[Criterion]:
    row, noise = (_distance_row(table) for table in (comparison.tables[POOL]["distances"], control["distances"]))
    beside = {
        "kid": row["value"],
        "real_vs_real": row["real_vs_real"],
        "low": row["over_real_vs_real_low"],
        "high": row["over_real_vs_real_high"],
        "control": noise["over_real_vs_real"],
    }
    note = "" if row["over_real_vs_real"] is not None else "the real-vs-real distance is not above zero: too few cases"
    return [judge("KID over real-vs-real", goals.KID, row["over_real_vs_real"], beside=beside, note=note)]


def _distance_row(table: Table) -> dict[str, Any]:
    """The KID of the first network, over all planes."""
    rows = [row for row in _rows(table) if row["measure"] == "KID"]
    return next((row for row in rows if row["plane"] in ALL_PLANES), rows[0])


def _signal(comparison: Comparison, control: dict[str, Table]) -> Iterator[Criterion]:
    noise = {(row["structure"], row["figure"]): row["shift"] for row in _rows(control["signal"])}
    for row in _rows(comparison.tables[POOL]["signal"]):
        figure, structure, shift = row["figure"], row["structure"], row["shift"]
        beside = {**_interval(row), "control": noise[structure, figure]}
        if figure == "texture":
            value = None if shift is None else 1 + shift
            beside = {key: None if v is None else 1 + v for key, v in beside.items()}
            note = "" if row["n_real"] else "too little parenchyma away from other structures"
            yield judge("parenchyma texture over real", goals.TEXTURE, value, beside=beside, note=note)
        elif structure is not None:
            if row["between_cases"] is not None:
                beside["in_stds_between_cases"] = row["between_cases"]
            note = "" if row["n_real"] else "no held-out mask holds it"
            yield judge(f"signal {figure}", goals.SIGNAL, shift, structure=structure, beside=beside, note=note)


def _adequate(comparison: Comparison, name: str) -> Criterion:
    """Of the pairs with liver and vessels, the fraction whose liver is bright enough against them."""
    sets = (comparison.pools[name].cases, comparison.real.cases, comparison.pools[CONTROL].cases)
    ours, *others = (np.array([v for c in cases if (v := c.figures.liver_to_vessel) is not None]) for cases in sets)
    share, *beside = (float((v > goals.ADEQUATE_RATIO).mean()) if len(v) else None for v in (ours, *others))
    told = {"real": beside[0], "control": beside[1], "median": float(np.median(ours)) if len(ours) else None}
    figure = f"share with liver : vessel above {goals.ADEQUATE_RATIO:g}"
    note = "" if len(ours) else "no liver with vessels"
    return judge(figure, goals.ADEQUATE_SHARE, share, beside=told, note=note)


def _memorization(comparison: Comparison, name: str, spaces: Sequence[str]) -> Iterator[Criterion]:
    """The two halves of the rule on copies; see `lldm_aug.evaluation.tables.memorization`."""
    figures: dict[str, Goal] = {"copies of training cases": goals.COPIES, "p of being too close": goals.TOO_CLOSE}
    if not comparison.training:
        for figure, goal in figures.items():
            yield judge(figure, goal, None, note="no training data at hand")
        return
    for verdict in comparison.verdicts(name):
        if verdict.space in spaces:
            values = (None if verdict.verdict is None else float(verdict.copies), verdict.p)
            beside = {"smallest_over_held_out": verdict.smallest_share}
            for (figure, goal), value in zip(figures.items(), values, strict=True):
                yield judge(f"{figure} ({verdict.space})", goal, value, beside=beside)


def _rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _interval(row: dict[str, Any]) -> dict[str, Any]:
    return {"low": row["low"], "high": row["high"]}
