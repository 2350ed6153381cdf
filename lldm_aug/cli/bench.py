"""``lldm-aug bench``: figures of a generator on held-out cases, and of what blending costs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.bench_fidelity import fidelity
from lldm_aug.cli.bench_inpainting import inpainting
from lldm_aug.cli.echo import default_device, echo_notes
from lldm_aug.cli.options import EXISTING_FOLDER, FOLD, NEW_FOLDER, dry_run_option, fold_option, seed_option

if TYPE_CHECKING:
    from lldm_aug.evaluation.bench_plan import BenchPlan
    from lldm_aug.evaluation.bench_report import BenchResults
    from lldm_aug.report.criterion import Criterion
    from nnunet_integration.overhead import Overhead
    from nnunet_integration.target import Target


@click.group()
def bench() -> None:
    """Measure a generator on held-out cases, compare it with baselines, or time blending and inpainting."""


bench.add_command(fidelity)
bench.add_command(inpainting)


@bench.command()
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--data", metavar="DATASET", required=True, help="Data set with held-out cases.")
@fold_option
@click.option(
    "--training", metavar="DATASET", default=None, help="Data set that it was trained on; by its name if left out."
)
@click.option(
    "--referee", type=EXISTING_FOLDER, default=None, help="Segmenter or nnU-Net model; the generator's own if left out."
)
@click.option("--n", type=click.IntRange(min=2), default=64, help="Cases to generate, and to compare with.")
@click.option(
    "--masks", "new_masks", type=click.Choice(["learned"]), default=None, help="Measure pairs with new masks too."
)
@click.option("--out", type=NEW_FOLDER, required=True, help="The report's folder.")
@seed_option
@dry_run_option
def faithfulness(
    model: Path | None,
    data: str,
    fold: int | str | None,
    training: str | None,
    referee: Path | None,
    n: int,
    new_masks: str | None,
    out: Path,
    seed: int,
    dry_run: bool,
) -> None:
    """Compare images generated for held-out masks with real ones: masks, likeness, texture, signal, copies, speed.

    With --fold the held-out cases are that fold's validation cases, without it all cases of the data set. Cases that
    any stage has seen are refused. Run again, it goes on where it stopped.

    \b
    Example:
      lldm-aug phantom --n 128 --seed 9001 --out Dataset701_HeldOut
      lldm-aug bench faithfulness --data Dataset701_HeldOut --out reports/embedded
    """
    from lldm_aug.evaluation.bench_plan import plan_bench

    plan = plan_bench(
        model=model,
        data=data,
        fold=fold,
        training=training,
        referee=referee,
        n=n,
        seed=seed,
        new_masks=new_masks,
    )
    _announce(plan)
    if dry_run:
        return
    from lldm_aug.evaluation.bench_report import REPORT_FILE

    _show(_run(plan, out).criteria, out / REPORT_FILE)


@bench.command()
@click.option("-d", "--data", "dataset", metavar="DATASET", required=True, help="Data set: 700, or its whole name.")
@click.option(
    "-c", "--configuration", "configurations", multiple=True, default=["2d", "3d_fullres"], help="One or more."
)
@click.option("-p", "--plans", default="nnUNetPlans", help="Name of the plans.")
@click.option("-f", "--fold", type=FOLD, default="0", help="Fold that pools were prepared for.")
@click.option("--iterations", type=click.IntRange(min=8), default=60, help="To time of each trainer.")
@click.option("--out", type=NEW_FOLDER, required=True, help="The report's folder.")
def blending(
    dataset: str, configurations: tuple[str, ...], plans: str, fold: int | str, iterations: int, out: Path
) -> None:
    """Compare nnU-Net's own loader and trainer with the blended ones: the two train in turns, in one run.

    Each configuration needs a prepared pool. Nothing is written to nnU-Net's results.

    \b
    Example:
      lldm-aug nnunet prepare -d 700 --pool pools/x -c 2d
      lldm-aug nnunet prepare -d 700 --pool pools/x -c 3d_fullres
      lldm-aug bench blending -d 700 -c 2d -c 3d_fullres --out reports/blending
    """
    with TemporaryDirectory() as results:
        # nnU-Net reads the first when it is imported, which is below.
        os.environ.update(nnUNet_results=results, nnUNet_n_proc_DA="0")
        from lldm_aug.io.atomic import write_text
        from lldm_aug.machine import describe_machine
        from nnunet_integration.overhead_report import FILE, compile_results
        from nnunet_integration.target import Target

        device = default_device()
        targets = {name: Target.find(dataset, name, plans) for name in configurations}
        measured = {name: _measure(target, fold, iterations, device) for name, target in targets.items()}
        name = next(iter(targets.values())).name
        judged = compile_results(name, fold, iterations, measured, describe_machine(device))
        write_text(out / FILE, judged.model_dump_json(indent=2) + "\n")
    _show(judged.criteria, out / FILE)


def _measure(target: Target, fold: int | str, iterations: int, device: str) -> Overhead:
    from lldm_aug.cli.progress import progress_bar
    from nnunet_integration.overhead import measure

    with progress_bar(target.configuration_name, total=iterations) as update, redirect_stdout(io.StringIO()):
        return measure(target, fold, iterations, device, update)  # without what nnU-Net says of each epoch


def _run(plan: BenchPlan, out: Path) -> BenchResults:
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.bench_report import compile_results, write_report
    from lldm_aug.evaluation.bench_run import count_steps, open_referee, run_bench
    from lldm_aug.evaluation.features import EfficientNetLite0
    from lldm_aug.machine import describe_machine
    from lldm_aug.models.generator import Generator

    device = default_device()
    network = EfficientNetLite0(device)
    generator = Generator.load(plan.generator).to(device)
    referee = open_referee(plan, device)
    with progress_bar("bench", total=count_steps(plan)) as update:
        measured = run_bench(plan, out, generator, network, referee, update)
    results = compile_results(plan, measured, generator.hash, network, describe_machine(device))
    write_report(plan, results, out)
    return results


def _announce(plan: BenchPlan) -> None:
    heldout = plan.heldout
    click.echo(f"generator  {plan.generator}")
    click.echo(f"held out   {heldout.dataset.name}: masks of {len(heldout.masks)}, {len(heldout.others)} others")
    click.echo(f"training   {plan.training.name if plan.training else '-'}: {len(plan.training_cases)} cases")
    click.echo(f"referee    {plan.referee or '-'}")
    echo_notes(plan.notes)


def _show(criteria: Iterable[Criterion], report: Path) -> None:
    marks = {True: click.style("met   ", fg="green"), False: click.style("missed", fg="red"), None: "-     "}
    for criterion in criteria:
        value = "-" if criterion.value is None else f"{criterion.value:.3f}"
        name = criterion.figure + (f": {criterion.structure}" if criterion.structure else "")
        click.echo(f"{marks[criterion.passed]} {name:66} {value:>8}  ({criterion.goal})")
    click.echo(report)
