"""``lldm-aug evaluate utility``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from lldm_aug.cli.echo import default_device, echo_notes
from lldm_aug.cli.options import FOLDS, NEW_FOLDER, dry_run_option, given_options

if TYPE_CHECKING:
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.data.splits import Fold
    from lldm_aug.evaluation.utility.study_plan import StudyPlan, StudySettings

FIVE = "unet,resunet,attunet,unetpp,segresnet"
IDLE = {
    "monai": ("configuration", "plans"),
    "nnunet": ("batch_size", "patch", "spacing", "width", "learning_rate", "precision"),
}
"""Options that are of no effect with an engine."""


class Words(click.ParamType[Any]):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """``"a,b"`` to ``("a", "b")``, each once."""
        return tuple(dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip()))


class LabelFractions(click.ParamType[Any]):
    """Numbers between 0 and 1 with commas between them."""

    name = "fractions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """``"0.1,1"`` to ``(0.1, 1.0)``; anything else is a usage error."""
        try:
            found = tuple(dict.fromkeys(float(word) for word in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} are no numbers such as '0.1,0.5'", param, ctx)
        if not all(0 < number <= 1 for number in found):
            self.fail(f"{value!r}: each must be above 0, and 1 at most", param, ctx)
        return found


@click.command()
@click.option(
    "--data", required=True, metavar="DATASET", help="Real cases: folder, or 700 / Dataset700 in $nnUNet_raw."
)
@click.option("--held-out", metavar="DATASET", default=None, help="Score on this data set, not on validation cases.")
@click.option(
    "--networks", type=Words(), default=FIVE, help="Networks to train; vnet, dynunet and mednext are offered, too."
)
@click.option("--arms", type=Words(), default="syn", help="Arms beside real: real-aug, syn, syn-only, autoencoded.")
@click.option(
    "--ratios",
    type=LabelFractions(),
    default="0.25,0.5",
    help="Fractions of synthetic samples; each is an arm 'syn' of its own.",
)
@click.option(
    "--label-fractions", type=LabelFractions(), default="1", help="Fractions of the training cases that are labelled."
)
@click.option(
    "--label-fraction-seed",
    type=click.IntRange(min=0),
    default=0,
    help="Seed that chooses the labelled cases, as in 'train'.",
)
@click.option("--folds", default="0-4", metavar="0-4|all", help="Folds; 'all' trains on all cases, with --held-out.")
@click.option("--seeds", type=FOLDS, default="0-2", help="Seeds; each one repeats the study.")
@click.option(
    "--pool", default=None, metavar="DIR", help="Pool; {fold} and {label_fraction} in its path are filled in."
)
@click.option(
    "--generator", default=None, metavar="DIR", help="Generator or run folder; its path is filled in likewise."
)
@click.option(
    "--pairs", type=click.IntRange(min=1), default=200, help="Size of the pools that are made with --generator."
)
@click.option("--steps", type=click.IntRange(min=1), default=1000, help="Optimisation steps, the same in every arm.")
@click.option("--batch-size", type=click.IntRange(min=1), default=2, help="Samples in a step, over all processes.")
@click.option(
    "--patch",
    type=click.IntRange(8, 512),
    nargs=3,
    default=(96, 96, 64),
    help="Sides of the training patches in voxels.",
)
@click.option(
    "--spacing", type=click.FloatRange(0.1, 20), nargs=3, default=None, help="Voxel size in mm; the median if left out."
)
@click.option("--width", type=click.IntRange(min=4), default=32, help="Features of a network's first level.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, 1, min_open=True), default=1e-3, help="Peak learning rate of AdamW."
)
@click.option(
    "--tolerance-mm",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Tolerance of NSD; a voxel, but at least 2 mm, if left out.",
)
@click.option(
    "--precision",
    type=click.Choice(("no", "bf16")),
    default=None,
    help="Precision; bf16 on a GPU and no (float32) on a CPU, if left out.",
)
@click.option("--engine", type=click.Choice(("monai", "nnunet")), default="monai", help="What trains the networks.")
@click.option("-c", "--configuration", default="3d_fullres", help="With nnunet: configuration of its plans.")
@click.option("-p", "--plans", default="nnUNetPlans", help="With nnunet: name of its plans.")
@click.option("--num-parts", type=click.IntRange(min=1), default=1, help="Divide the cells by hand: number of parts.")
@click.option(
    "--part-id", type=click.IntRange(min=0), default=0, help="Number of the part that this call runs, from 0."
)
@click.option("--out", type=NEW_FOLDER, required=True, help="The study's folder.")
@dry_run_option
def utility(
    data: str,
    held_out: str | None,
    networks: tuple[str, ...],
    arms: tuple[str, ...],
    ratios: tuple[float, ...],
    label_fractions: tuple[float, ...],
    folds: str,
    seeds: tuple[int, ...],
    pool: str | None,
    generator: str | None,
    num_parts: int,
    part_id: int,
    out: Path,
    dry_run: bool,
    **training: Any,
) -> None:
    """Train networks with and without synthetic cases, and compare them case by case.

    Every arm has the same steps, first weights and order of cases. A generator or pool is refused if it saw a case that
    networks are scored on, or labels outside of the label fraction. Run the same command again to continue after an
    interruption, or with another --part-id on another machine; the tables hold all cells that are finished.

    \b
    Examples:
      lldm-aug evaluate utility --data 700 --pool 'pools/fold_{fold}' --out studies/first
      lldm-aug evaluate utility --data 700 --engine nnunet --pool 'pools/fold_{fold}' --out studies/nnunet
      lldm-aug evaluate utility --data 700 --label-fractions 0.1,1 --generator 'runs/{label_fraction}' --out studies/few
    """
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.evaluation.utility.cell import parse_arms
    from lldm_aug.evaluation.utility.engine import check_engine
    from lldm_aug.evaluation.utility.study_plan import plan_study

    _refuse_idle(training["engine"])
    dataset = RawDataset.find(data)
    settings, parsed = _settings(dataset, **training), parse_arms(arms, ratios)
    check_engine(dataset, settings, networks, parsed)
    plan = plan_study(
        out=out,
        dataset=dataset,
        held_out=None if held_out is None else RawDataset.find(held_out),
        settings=settings,
        networks=networks,
        arms=parsed,
        label_fractions=label_fractions,
        folds=_folds(folds),
        seeds=seeds,
        pool=pool,
        generator=generator,
    )
    if dry_run:
        _announce(plan)
    else:
        _run(plan, num_parts, part_id)


def _refuse_idle(engine: str) -> None:
    """Raises ConfigError for options that were given and would be passed over."""
    from lldm_aug.errors import ConfigError

    if given := given_options(IDLE[engine]):
        raise ConfigError(
            f"of no effect with --engine {engine}", where=", ".join(given), fix="leave out what it ignores"
        )


def _settings(
    dataset: RawDataset,
    *,
    spacing: tuple[float, float, float] | None,
    patch: tuple[int, int, int],
    tolerance_mm: float | None,
    precision: Literal["no", "bf16"] | None,
    **others: Any,
) -> StudySettings:
    """Options as settings, with what they leave to the data and the machine."""
    from lldm_aug.data.conform import median_spacing
    from lldm_aug.evaluation.utility.study_plan import StudySettings

    sides = spacing or median_spacing([dataset.load_label(case_id).grid for case_id in dataset.case_ids])
    return StudySettings(
        spacing_mm=sides,
        patch=patch,
        tolerance_mm=tolerance_mm or max(2.0, (sides[0] * sides[1] * sides[2]) ** (1 / 3)),
        precision=precision or ("bf16" if default_device() == "cuda" else "no"),
        **others,
    )


def _folds(text: str) -> tuple[Fold, ...]:
    from lldm_aug.data.splits import parse_folds

    return ("all",) if text == "all" else parse_folds(text)


def _announce(plan: StudyPlan) -> None:
    click.echo(f"{len(list(plan.cells()))} cells into {plan.out}")
    click.echo(f"settings   {plan.settings.model_dump()}")
    for (fold, label_fraction), source in plan.sources.items():
        cases = len(plan.judged(fold)[1])
        what = f"fold {fold}, label fraction {label_fraction:g}"
        click.echo(f"{what}: {len(source.labelled)} labelled cases, scored on {cases}")
        for arm in plan.arms:
            click.echo(f"  {arm!s:12} {source.seen_by(arm)}")
    echo_notes(plan.notes)


def _run(plan: StudyPlan, num_parts: int, part_id: int) -> None:
    from accelerate import Accelerator, InitProcessGroupKwargs

    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.evaluation_report import REPORT_FILE
    from lldm_aug.evaluation.utility.data import StudyData
    from lldm_aug.evaluation.utility.study import run_study
    from lldm_aug.evaluation.utility.study_report import compile_results, write_report
    from lldm_aug.machine import describe_machine
    from lldm_aug.processes import PATIENCE

    patience = InitProcessGroupKwargs(timeout=PATIENCE)
    accelerator = Accelerator(mixed_precision=plan.settings.precision, kwargs_handlers=[patience])
    if accelerator.is_main_process:
        _announce(plan)
    data = StudyData(plan, str(accelerator.device))
    mine = len(plan.part(num_parts, part_id))
    with progress_bar("cells", total=mine) as update:
        left = run_study(plan, data, accelerator, num_parts, part_id, update)
    if accelerator.is_main_process:
        results = compile_results(plan, data, describe_machine(str(accelerator.device)))
        write_report(plan, results)
        echo_notes(f"left to another process, which was at work on it: {cell}" for cell in left)
        click.echo(f"{results.cells[0]} of {results.cells[1]} cells: {plan.out / REPORT_FILE}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
