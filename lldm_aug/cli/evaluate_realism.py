"""``lldm-aug evaluate realism``: painted lesions against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_notes, echo_table
from lldm_aug.cli.network_options import networks_option, weights_option
from lldm_aug.cli.options import EXISTING_FOLDER, dry_run_option, out_option, seed_option
from lldm_aug.evaluation.realism import STEPS

if TYPE_CHECKING:
    from lldm_aug.evaluation.realism.realism_plan import RealismPlan
    from lldm_aug.evaluation.realism.realism_report import RealismResults


@click.command()
@click.option("--real", metavar="DATASET", required=True, help="Data set that the hosts were taken from.")
@click.option(
    "--pool",
    "pools",
    type=EXISTING_FOLDER,
    multiple=True,
    required=True,
    help="Pool of inpainted pairs; may be repeated.",
)
@networks_option
@weights_option
@click.option(
    "--steps", type=click.IntRange(min=1), default=STEPS, show_default=True, help="Training steps of each network."
)
@out_option
@seed_option
@dry_run_option
def realism(
    real: str,
    pools: tuple[Path, ...],
    networks: tuple[str, ...],
    weights: tuple[Path, ...],
    steps: int,
    out: Path,
    seed: int,
    dry_run: bool,
) -> None:
    """Test whether painted lesions can be told from real ones.

    A small 3D network learns to tell them apart on half of the patients and is tested on the other half. This is done
    for each pool, and for a control: blurred real lesions, which the network must be able to tell from unblurred ones.
    The report also has the KID of lesion-centred patches.

    \b
    Example:
      lldm-aug evaluate realism --real Dataset700 --pool pools/lesions --pool pools/pasted --out reports/x
    """
    from lldm_aug.evaluation.measure.feature_networks import choose_networks
    from lldm_aug.evaluation.realism.realism_plan import plan_realism

    plan = plan_realism(real, pools, choose_networks(networks, weights), seed, steps)
    click.echo(f"real       {plan.real.name}: {len(plan.real.case_ids)} cases of {len(plan.all_patients)} patients")
    for name, pool in plan.pools.items():
        click.echo(f"pool       {name}: {len(pool)} pairs")
    if not dry_run:
        _show(_run(plan, out), out)


def _run(plan: RealismPlan, out: Path) -> RealismResults:
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.evaluation.measure.feature_networks import open_networks
    from lldm_aug.evaluation.measure.meter import FOLDER
    from lldm_aug.evaluation.realism.realism_report import write_report
    from lldm_aug.evaluation.realism.realism_test import count_steps, run_realism
    from lldm_aug.machine import describe_machine

    device = default_device()
    caches = open_networks(plan.networks, out / FOLDER, device)
    with progress_bar("realism", total=count_steps(plan)) as update:
        measured = run_realism(plan, device, update)
    return write_report(plan, measured, caches, out, describe_machine(device))


def _show(results: RealismResults, out: Path) -> None:
    from lldm_aug.evaluation.evaluation_report import REPORT_FILE

    for table in results.tables:
        echo_table(table)
    echo_notes(results.notes)
    click.echo(out / REPORT_FILE)
