"""``lldm-aug evaluate baselines``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_heldout, echo_notes, echo_table
from lldm_aug.cli.options import (
    EXISTING_FOLDER,
    FOLD,
    config_option,
    dry_run_option,
    out_option,
    seed_option,
    segmenter_option,
    set_option,
)
from lldm_aug.cli.progress import progress_bar

if TYPE_CHECKING:
    from lldm_aug.evaluation.baselines.baselines_plan import BaselinesPlan
    from lldm_aug.evaluation.baselines.compare import BaselinesResults

NAMES = ("gan", "pixel", "latent")


@click.command()
@click.option("--data", metavar="DATASET", required=True, help="Data set to train on.")
@click.option("--fold", type=FOLD, required=True, help="Fold; methods are trained on its training cases alone.")
@click.option(
    "--heldout",
    metavar="DATASET",
    default=None,
    help="Data set with held-out cases; the fold's validation cases if left out.",
)
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Finished run of the generator; it is trained here if left out."
)
@segmenter_option
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Minutes of training for each method.")
@click.option(
    "--autoencoder-share",
    "share",
    type=click.FloatRange(0.05, 0.9),
    default=0.3,
    help="Fraction of the minutes that trains the autoencoder.",
)
@click.option(
    "--baselines",
    "names",
    type=click.Choice(NAMES),
    multiple=True,
    default=NAMES,
    help="Baseline to compare with; may be repeated.",
)
@click.option(
    "--n", type=click.IntRange(min=2), default=64, help="Number of masks, and of other cases to compare with."
)
@out_option
@config_option
@set_option
@seed_option
@dry_run_option
def baselines(
    data: str,
    fold: int | str,
    heldout: str | None,
    model: Path | None,
    segmenter: Path | None,
    minutes: float | None,
    share: float,
    names: tuple[str, ...],
    n: int,
    out: Path,
    config: str | None,
    overrides: tuple[str, ...],
    seed: int,
    dry_run: bool,
) -> None:
    """Compare the generator with three baselines.

    All are trained for equal times, and make images for the same held-out masks.

    A GAN, diffusion of voxels, and latent diffusion without a ControlNet are trained on the same cases by the same
    loop. Without --minutes each method is trained as long as --model was, or, without that, for the steps of the
    settings. Run the same command again to continue after an interruption.

    \b
    Example:
      lldm-aug evaluate baselines --data 700 --fold 0 --config phantom --minutes 60 --out reports/baselines
    """
    from lldm_aug.evaluation.baselines.baselines_plan import plan_baselines

    plan = plan_baselines(
        data=data,
        fold=fold,
        heldout=heldout,
        n=n,
        model=model,
        segmenter=segmenter,
        minutes=minutes,
        autoencoder_share=share,
        config=config,
        overrides=overrides,
        methods=names,
        seed=seed,
        device=default_device(),
    )
    _announce(plan)
    if dry_run:
        return
    results = _run(plan, out)
    _show(results, plan.terms, out)


def _run(plan: BaselinesPlan, out: Path) -> BaselinesResults:
    from lldm_aug.evaluation.baselines.compare import report_baselines, run_baselines
    from lldm_aug.evaluation.baselines.train_methods import count_training, train_methods
    from lldm_aug.evaluation.measure.feature_networks import OWN_NETWORK, open_networks
    from lldm_aug.evaluation.measure.meter import FOLDER
    from lldm_aug.machine import describe_machine

    device = default_device()
    features = open_networks([OWN_NETWORK], out / FOLDER, device)  # at once: a package may be missing
    with progress_bar("training", total=count_training(plan)) as update:
        run = train_methods(plan, out, update)
    with progress_bar("comparing", total=plan.steps) as update:
        comparison, made = run_baselines(plan, out, run, features, device, update)
    return report_baselines(plan, comparison, made, out, run, describe_machine(device))


def _announce(plan: BaselinesPlan) -> None:
    click.echo(f"training   {plan.dataset.name}, fold {plan.fold}: {len(plan.training_cases)} cases")
    click.echo(f"methods    {', '.join(method.name for method in plan.methods)}")
    echo_heldout(plan.heldout)
    time = "the settings' steps" if plan.seconds is None else f"{plan.seconds / 60:.1f} minutes"
    click.echo(f"each       {time}")
    echo_notes(plan.notes)


def _show(results: BaselinesResults, terms: str, out: Path) -> None:
    from lldm_aug.evaluation.evaluation_report import REPORT_FILE

    for table in results.tables:
        if table.rows and table.name in ("methods", "mask_consistency"):
            echo_table(table)
    click.echo(f"\n{terms}")
    click.echo(out / REPORT_FILE)
