"""The chapter on a generator, or on the training run that makes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from lldm_aug.config.stages import STAGE_SETTINGS
from lldm_aug.errors import CheckpointError
from lldm_aug.io.atomic import read_json_lines
from lldm_aug.io.records import read_json
from lldm_aug.labels import LabelSchema
from lldm_aug.models.config_file import CONFIG_FILE
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance
from lldm_aug.report.charts import Curve, draw_curves, smooth
from lldm_aug.report.content import Chapter, Chart, Part
from lldm_aug.report.data_table import Cell, Table, heading, in_words
from lldm_aug.report.embedded import Picture, embed_picture
from lldm_aug.report.leaks import Asked

RUN_FILE = "run.json"
LAST_STAGE = "controlnet"
ASIDE = ("step", "loss", "seconds", "learning_rate", "gradient_norm")
"""Columns of the statistics that are no part of the loss."""


def run_chapter(folder: Path, asked: Asked) -> Chapter:
    """What a generator was trained on and how its training went, as far as it has come.

    Args:
        folder: a run folder, one of its stages, or a generator.
        asked: the report's options.

    Raises:
        CheckpointError: when a file is damaged.
    """
    stages = stage_folders(folder)
    model = next((path for path in (folder, folder / "generator") if (path / CONFIG_FILE).is_file()), None)
    runs = {path: read_json(path / RUN_FILE) for path in stages}
    facts: dict[str, str] = {}
    generator = None
    parts: list[Part] = []
    if model is not None:
        generator, facts = _generator(model)
        parts += _judged(model)
    parts += _training_parts(runs)
    return Chapter(
        folder.resolve().name,
        "trained model" if not stages else "training run",
        facts,
        generator.stages if generator is not None else (),
        None if generator is None else asked.leak_state(generator),
        tuple(part for part in parts if not part.empty),
        notes=() if model is not None else ("There is no finished generator in this folder.",),
    )


def stage_folders(folder: Path) -> list[Path]:
    """The folders of a run's stages, in the order of the settings; a stage's own folder is one itself."""
    found = [path.parent for pattern in (RUN_FILE, f"*/{RUN_FILE}", f"*/*/{RUN_FILE}") for path in folder.glob(pattern)]
    known = {name: i for i, name in enumerate(STAGE_SETTINGS)}
    return sorted(found, key=lambda path: (known.get(_stage(path, read_json(path / RUN_FILE)), len(known)), str(path)))


def _stage(path: Path, run: dict[str, Any]) -> str:
    return str(run.get("stage", path.name))


class Model(BaseModel):
    """What the descriptions of all trained models have in common, and what some of them say besides.

    Args:
        lldm_aug_version: version that made it.
        dataset_json: channels and labels that it learnt.
        shape: voxels of its grid.
        spacing_mm: voxel size.
        stages: what it saw.
        compression: voxels per latent cell.
        objective: what a denoiser predicts.
        sampling: how it is sampled.
    """

    lldm_aug_version: str
    dataset_json: dict[str, Any]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    stages: tuple[StageProvenance, ...]
    compression: tuple[int, int, int] | None = None
    objective: dict[str, Any] = {}
    sampling: dict[str, Any] = {}


def _generator(folder: Path) -> tuple[GeneratorProvenance, dict[str, str]]:
    from lldm_aug.io.weights import check_sums

    identity = check_sums(folder)
    try:
        known = Model.model_validate(read_json(folder / CONFIG_FILE))
    except ValidationError as error:
        raise CheckpointError("describes no trained model", where=folder / CONFIG_FILE) from error
    by = " × ".join
    facts = {
        "model": identity[:12],
        "channels": in_words(list(known.dataset_json.get("channel_names", {}).values())),
        "structures": in_words(LabelSchema.from_dataset_json(known.dataset_json, folder).names),
        "grid": f"{by(map(str, known.shape))} voxels of {by(f'{s:g}' for s in known.spacing_mm)} mm",
        "latent cell": f"{by(map(str, known.compression))} voxels" if known.compression else "",
        "objective": in_words(known.objective.get("kind", "")),
        "sampling": in_words(known.sampling) if known.sampling else "",
        "made by": f"lldm_aug {known.lldm_aug_version}",
        "beside it": in_words([name for name in ("segmenter", "masks") if (folder / name).is_dir()]),
    }
    shown = {name: text for name, text in facts.items() if text}
    return GeneratorProvenance(hash=identity, stages=known.stages), shown


def _judged(model: Path) -> Iterator[Part]:
    """How good the segmenter in a generator's folder is, which judges pairs."""
    path = model / "segmenter" / CONFIG_FILE
    if path.is_file():
        scores = read_json(path).get("heldout_dice", {})
        rows = tuple((name, s.get("mean"), s.get("low"), s.get("cases")) for name, s in scores.items())
        table = Table(
            name="segmenter",
            title="Dice of the generator's own segmenter on real cases that it was not trained on",
            columns=("structure", "mean", "5th percentile", "cases"),
            rows=rows,
            note="It judges synthetic pairs: where it is poor on real images, it can say little about synthetic ones.",
        )
        yield Part("Who judges", tables=(table,))


def _training_parts(runs: dict[Path, dict[str, Any]]) -> Iterator[Part]:
    if not runs:
        return
    table = Table(
        name="stages",
        title="Stages",
        columns=("stage", "data set", "fold", "cases", "steps", "of", "precision", "processes", "seed"),
        rows=tuple(_stage_row(path, run) for path, run in runs.items()),
    )
    yield Part("Training", tables=(table,))
    charts = [chart for path, run in runs.items() for chart in _charts(path, run)]
    yield Part("Learning curves", charts=tuple(charts))
    samples = dict(_samples(runs))
    main = {name: picture for name, picture in samples.items() if name == LAST_STAGE} or samples
    yield Part("Samples", pictures=tuple(main.values()))
    others = tuple(picture for name, picture in samples.items() if name not in main)
    yield Part("Samples of the other stages", pictures=others, folded=True)


def _stage_row(path: Path, run: dict[str, Any]) -> tuple[Cell, ...]:
    name, train = _stage(path, run), run.get("config", {}).get("train", {})
    done = [line["step"] for line in _lines(path / "stats.jsonl")][-1:]
    return (
        name,
        run.get("dataset"),
        str(run.get("fold")),
        len(run.get("cases", ())),
        done[0] if done else 0,
        train.get(name, {}).get("steps"),
        train.get("precision"),
        run.get("processes"),
        run.get("config", {}).get("seed"),
    )


def _charts(path: Path, run: dict[str, Any]) -> Iterator[Chart]:
    name, lines = heading(_stage(path, run)), _lines(path / "stats.jsonl")
    terms = _others(lines, ASIDE)
    drawn = [
        _loss(lines, name),
        draw_curves(terms, f"{name}: parts of the loss", "value") if len(terms) > 1 else None,
        _scores(_lines(path / "scores.jsonl"), name),
    ]
    yield from (chart for chart in drawn if chart is not None)


def _loss(lines: Sequence[dict[str, float]], name: str) -> Chart | None:
    curve = Curve("each batch", [line["step"] for line in lines], [line["loss"] for line in lines], faint=True)
    note = "Faint: single batches. Bold: their running median."
    return draw_curves([curve, smooth(curve, "running median")], f"{name}: loss", "loss", note)


def _scores(lines: Sequence[dict[str, float]], name: str) -> Chart | None:
    kept = [{k: v for k, v in line.items() if k in ("step", "score") or k.startswith("relative.")} for line in lines]
    curves = [Curve(c.name.removeprefix("relative."), c.steps, c.values) for c in _others(kept, ("step",))]
    note = "Segmenter's Dice on synthetic over that on real images; the weights of the best score were exported."
    return draw_curves(curves, f"{name}: mask consistency to the mask", "relative Dice", note)


def _others(lines: Sequence[dict[str, float]], left_out: Sequence[str]) -> list[Curve]:
    names = dict.fromkeys(key for line in lines for key in line if key not in left_out)
    having = {name: [line for line in lines if name in line] for name in names}
    return [
        Curve(heading(name), [line["step"] for line in found], [line[name] for line in found])
        for name, found in having.items()
    ]


def _samples(runs: dict[Path, dict[str, Any]]) -> Iterator[tuple[str, Picture]]:
    for path, run in runs.items():
        name = _stage(path, run)
        for picture in sorted((path / "samples").glob("step_*.png"))[-1:]:
            step = picture.stem.removeprefix("step_").lstrip("0")
            yield name, embed_picture(picture, f"{heading(name)}, after step {step}")


def _lines(path: Path) -> list[dict[str, float]]:
    return [line for line in read_json_lines(path) if isinstance(line, dict) and "step" in line]
