"""``lldm-aug evaluate fidelity``: a pool against real cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_notes, echo_table
from lldm_aug.cli.network_options import networks_option, weights_option
from lldm_aug.cli.options import EXISTING_FOLDER, NEW_FOLDER, dry_run_option, fold_option, seed_option

if TYPE_CHECKING:
    from lldm_aug.evaluation.fidelity.plan import FidelityPlan
    from lldm_aug.evaluation.fidelity.report import FidelityResults


@click.command()
@click.option("--real", metavar="DATASET", required=True, help="Data set with real cases that nothing has seen.")
@fold_option
@click.option("--synthetic", "pool", type=EXISTING_FOLDER, required=True, help="The pool.")
@click.option(
    "--training", metavar="DATASET", default=None, help="Data set that it was trained on; by its name if left out."
)
@click.option("--referee", type=EXISTING_FOLDER, default=None, help="Segmenter, or nnU-Net model.")
@networks_option
@weights_option
@click.option("--out", type=NEW_FOLDER, required=True, help="The report's folder.")
@seed_option
@dry_run_option
def fidelity(
    real: str,
    fold: int | str | None,
    pool: Path,
    training: str | None,
    referee: Path | None,
    networks: tuple[str, ...],
    weights: tuple[Path, ...],
    out: Path,
    seed: int,
    dry_run: bool,
) -> None:
    """Compare a pool with real cases: FID and KID with their floor, structures, vessels, diversity, copies.

    With --fold the real cases are that fold's validation cases, and refused if generator, masks or referee have seen
    one; without it all cases of the data set that they have not seen. Run again, it goes on where it stopped.

    \b
    Example:
      lldm-aug evaluate fidelity --real Dataset700 --fold 0 --synthetic pools/x --referee runs/x --out reports/x
    """
    from lldm_aug.evaluation.fidelity.plan import plan_fidelity
    from lldm_aug.evaluation.networks import choose_networks

    plan = plan_fidelity(
        pool=pool,
        real=real,
        fold=fold,
        training=training,
        referee=referee,
        networks=choose_networks(networks, weights),
        seed=seed,
        device=default_device(),
    )
    _announce(plan)
    if not dry_run:
        _show(_run(plan, out), out)


def _run(plan: FidelityPlan, out: Path) -> FidelityResults:
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.fidelity.report import write_report
    from lldm_aug.evaluation.fidelity.run import count_steps, open_features, run_fidelity
    from lldm_aug.machine import describe_machine

    caches = open_features(plan, out, default_device())
    with progress_bar("fidelity", total=count_steps(plan)) as update:
        measured = run_fidelity(plan, out, caches, update)
    return write_report(plan, measured, caches, out, describe_machine(default_device()))


def _announce(plan: FidelityPlan) -> None:
    real = plan.real
    click.echo(f"pool       {plan.pool.folder}: {len(plan.pool)} pairs, {plan.pool.info.mask_source} masks")
    click.echo(f"real       {real.dataset.name}: {len(real.case_ids)} held out, {len(real.set_aside)} set aside")
    click.echo(f"training   {plan.training.name if plan.training else '-'}: {len(plan.training_cases)} cases")
    click.echo(f"referee    {plan.referee.hash[:12] if plan.referee else '-'}")
    echo_notes(plan.notes)


def _show(results: FidelityResults, out: Path) -> None:
    from lldm_aug.evaluation.fidelity.report import REPORT_FILE

    for table in results.tables:
        if table.rows and table.name in ("distances", "faithfulness", "copy_verdicts"):
            echo_table(table)
    click.echo(f"\ncopies: {results.copies_verdict or 'not looked for'}")
    click.echo(out / REPORT_FILE)
