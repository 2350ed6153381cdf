"""``lldm-aug evaluate generator``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_criteria, echo_heldout, echo_means, echo_notes
from lldm_aug.cli.options import (
    EXISTING_FOLDER,
    dry_run_option,
    fold_option,
    out_option,
    seed_option,
    segmenter_option,
    training_option,
)

if TYPE_CHECKING:
    from lldm_aug.evaluation.generator_evaluation import EvaluationPlan, GeneratorResults


@click.command()
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--data", metavar="DATASET", required=True, help="Data set with held-out cases.")
@fold_option
@training_option
@segmenter_option
@click.option(
    "--n",
    type=click.IntRange(min=2),
    default=64,
    help="Number of masks to generate images for, and of other cases to compare with.",
)
@click.option(
    "--masks",
    "new_masks",
    type=click.Choice(["learned"]),
    default=None,
    help="Measure pairs with masks of the mask model, too.",
)
@out_option
@seed_option
@dry_run_option
def generator(
    model: Path | None,
    data: str,
    fold: int | str | None,
    training: str | None,
    segmenter: Path | None,
    n: int,
    new_masks: str | None,
    out: Path,
    seed: int,
    dry_run: bool,
) -> None:
    """Compare images made for held-out masks with real ones.

    Figures are mask consistency, KID, texture, signal, copies of training cases, and speed.

    With --fold the held-out cases are that fold's validation cases; without it they are all cases of the data set.
    Cases that any stage has seen are refused. Run the same command again to continue after an interruption.

    \b
    Example:
      lldm-aug phantom --n 128 --seed 9001 --out Dataset701_HeldOut
      lldm-aug evaluate generator --data Dataset701_HeldOut --out reports/embedded
    """
    from lldm_aug.evaluation.generator_evaluation import plan_generator

    plan = plan_generator(
        model=model,
        data=data,
        fold=fold,
        training=training,
        segmenter=segmenter,
        n=n,
        seed=seed,
        new_masks=new_masks,
        device=default_device(),
    )
    _announce(plan)
    if dry_run:
        return
    from lldm_aug.evaluation.evaluation_report import REPORT_FILE

    echo_criteria(_run(plan, out).criteria, out / REPORT_FILE)


def _run(plan: EvaluationPlan, out: Path) -> GeneratorResults:
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.generator_evaluation import report_generator, run_generator
    from lldm_aug.evaluation.measure.feature_networks import OWN_NETWORK, open_networks
    from lldm_aug.evaluation.measure.meter import FOLDER
    from lldm_aug.machine import describe_machine
    from lldm_aug.models.generator import Generator

    device = default_device()
    features = open_networks([OWN_NETWORK], out / FOLDER, device)
    model = Generator.load(plan.folder).to(device)
    with progress_bar("evaluating", total=plan.steps) as update:
        comparison, seconds = run_generator(plan, out, model, features, update)
    return report_generator(plan, comparison, seconds, model.hash, out, describe_machine(device))


def _announce(plan: EvaluationPlan) -> None:
    click.echo(f"generator  {plan.folder}")
    echo_heldout(plan.heldout)
    echo_means(plan.training, plan.training_cases, plan.segmenter)
    echo_notes(plan.notes)
