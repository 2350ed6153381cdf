"""``lldm-aug evaluate pool``: a pool against real cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_means, echo_notes, echo_table
from lldm_aug.cli.network_options import networks_option, weights_option
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
    from lldm_aug.evaluation.pool_evaluation import PoolPlan, PoolResults


@click.command()
@click.option(
    "--real",
    metavar="DATASET",
    required=True,
    help="Data set with real cases that neither generator, masks nor segmenter have seen.",
)
@fold_option
@click.option("--synthetic", "folder", type=EXISTING_FOLDER, required=True, help="The pool.")
@training_option
@segmenter_option
@networks_option
@weights_option
@out_option
@seed_option
@dry_run_option
def pool(
    real: str,
    fold: int | str | None,
    folder: Path,
    training: str | None,
    segmenter: Path | None,
    networks: tuple[str, ...],
    weights: tuple[Path, ...],
    out: Path,
    seed: int,
    dry_run: bool,
) -> None:
    """Compare a pool with real cases: FID and KID, mask consistency, vessels, signal, diversity, copies.

    With --fold the real cases are that fold's validation cases, and the command stops if generator, masks or segmenter
    have seen one of them. Without it they are all cases of the data set that none of these has seen. Run the same
    command again to continue after an interruption.

    \b
    Example:
      lldm-aug evaluate pool --real Dataset700 --fold 0 --synthetic pools/x --segmenter runs/x --out reports/x
    """
    from lldm_aug.evaluation.measure.feature_networks import choose_networks
    from lldm_aug.evaluation.pool_evaluation import plan_pool

    plan = plan_pool(
        pool=folder,
        real=real,
        fold=fold,
        training=training,
        segmenter=segmenter,
        networks=choose_networks(networks, weights),
        seed=seed,
        device=default_device(),
    )
    _announce(plan)
    if not dry_run:
        _show(_run(plan, out), out)


def _run(plan: PoolPlan, out: Path) -> PoolResults:
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.measure.feature_networks import open_networks
    from lldm_aug.evaluation.measure.meter import FOLDER
    from lldm_aug.evaluation.pool_evaluation import report_pool, run_pool
    from lldm_aug.machine import describe_machine

    features = open_networks(plan.networks, out / FOLDER, default_device())
    with progress_bar("measuring", total=plan.steps) as update:
        comparison = run_pool(plan, out, features, update)
    return report_pool(plan, comparison, out, describe_machine(default_device()))


def _announce(plan: PoolPlan) -> None:
    real = plan.real
    click.echo(f"pool       {plan.pool.folder}: {len(plan.pool)} pairs, {plan.pool.info.mask_source} masks")
    click.echo(f"real       {real.dataset.name}: {len(real.case_ids)} held out, {len(real.set_aside)} set aside")
    echo_means(plan.training, plan.training_cases, plan.segmenter)
    echo_notes(plan.notes)


def _show(results: PoolResults, out: Path) -> None:
    from lldm_aug.evaluation.evaluation_report import REPORT_FILE

    for table in results.tables:
        if table.rows and table.name in ("distances", "mask_consistency", "copy_verdicts"):
            echo_table(table)
    click.echo(f"\ncopies: {results.copies_verdict or 'not looked for'}")
    click.echo(out / REPORT_FILE)
