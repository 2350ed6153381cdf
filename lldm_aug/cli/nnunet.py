"""``lldm-aug nnunet``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lldm_aug.cli.options import EXISTING_FOLDER, FOLD, dry_run_option
from lldm_aug.pool.retired import GRACE_SECONDS

if TYPE_CHECKING:
    from nnunet_integration.prepare import Preparation


@click.group()
def nnunet() -> None:
    """Use a pool in nnU-Net training."""


@nnunet.command()
@click.option("-d", "--data", "dataset", metavar="DATASET", required=True, help="Data set: 700, or its whole name.")
@click.option("--pool", type=EXISTING_FOLDER, required=True, help="The pool's folder.")
@click.option("-c", "--configuration", default="3d_fullres", help="Configuration of the plans.")
@click.option("-p", "--plans", default="nnUNetPlans", help="Name of the plans.")
@click.option(
    "-f", "--fold", type=FOLD, default="0", help="Fold to train; none of its validation cases may have leaked."
)
@click.option(
    "--ratio", type=click.FloatRange(0, 1), default=0.5, help="Fraction of synthetic cases in training batches."
)
@click.option("--name", default=None, help="Name of the prepared set; the pool's by default.")
@click.option("-np", "--processes", type=click.IntRange(min=1), default=1, help="Processes to preprocess with.")
@click.option(
    "--previous-trainer", default=None, help="Trainer of a cascade's 3d_lowres; nnUNetTrainerLLDMAug by default."
)
@click.option("--allow-leakage", is_flag=True, help="Go on although validation cases leaked. Scores then mean nothing.")
@click.option("--follow", is_flag=True, help="Go on until stopped: prepare new cases of a pool made with --follow.")
@click.option(
    "--every", type=click.FloatRange(min=0), default=10.0, help="With --follow, seconds between looks at the pool."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    help="With --follow, seconds that the files of a dropped case stay; more than an epoch takes.",
)
@dry_run_option
def prepare(
    dataset: str,
    pool: Path,
    configuration: str,
    plans: str,
    fold: int | str,
    ratio: float,
    name: str | None,
    processes: int,
    previous_trainer: str | None,
    allow_leakage: bool,
    follow: bool,
    every: float,
    grace: float,
    dry_run: bool,
) -> None:
    """Preprocess a pool with a data set's own plans, into a folder beside its real cases.

    Run the same command again to add what is missing. Then train with -tr nnUNetTrainerLLDMAug. To try it out, the
    environment variables LLDM_AUG_EPOCHS, LLDM_AUG_ITERATIONS and LLDM_AUG_VAL_ITERATIONS shorten a training;
    LLDM_AUG_RATIO, LLDM_AUG_SEED and LLDM_AUG_SET choose another blend. With --follow, beside a 'lldm-aug generate
    --follow', a running training takes the new cases at its next epoch; stop it with Ctrl-C or SIGTERM.

    \b
    Example:
      lldm-aug nnunet prepare -d 700 --pool pools/x -c 3d_fullres --fold 0
      nnUNetv2_train 700 3d_fullres 0 -tr nnUNetTrainerLLDMAug
    """
    from lldm_aug.cli.progress import progress_bar
    from nnunet_integration.prepare import plan_preparation, run_preparation

    plan = partial(
        plan_preparation,
        *(dataset, pool, configuration),
        plans=plans,
        fold=fold,
        ratio=ratio,
        name=name,
        previous_trainer=previous_trainer,
        allow_leakage=allow_leakage,
        renewing=follow,
    )
    if follow and not dry_run:
        _follow(pool, plan, every, grace, processes)
        return
    preparation = plan()
    total, missing = len(preparation.pool), len(preparation.missing)
    click.echo(f"{missing} of {total} cases to preprocess into {preparation.prepared.data_folder}")
    if dry_run:
        return
    with progress_bar("preprocessing", total=total, done=total - missing) as update:
        report = run_preparation(preparation, num_processes=processes, progress=update)
    _show(preparation, report)


def _follow(pool: Path, plan: Callable[[], Preparation], every: float, grace: float, processes: int) -> None:
    from lldm_aug.interrupt import stop_requests
    from nnunet_integration.follow import follow_pool

    with stop_requests() as stop:
        for done in follow_pool(pool, plan, lambda: stop.wait(every), processes, grace):
            cases = len(done.prepared.cases())
            click.echo(f"{len(done.missing)} cases preprocessed; {cases} in {done.prepared.data_folder}")


@nnunet.command()
@click.option("-d", "--data", "dataset", metavar="DATASET", required=True, help="Data set: 700, or its whole name.")
@click.option(
    "-c", "--configuration", default="3d_fullres", help="Configuration whose data, patch and batch they share."
)
@click.option("-p", "--plans", default="nnUNetPlans", help="Name of the plans.")
@click.argument("names", nargs=-1, metavar="[NETWORK]...")
def networks(dataset: str, configuration: str, plans: str, names: tuple[str, ...]) -> None:
    """Add configurations with other networks to the plans: unet resunet attunet unetpp segresnet mednext vnet.

    Without names all are added. Each has results of its own; prepared pools serve all of them.

    \b
    Example:
      lldm-aug nnunet networks -d 700 attunet segresnet
      nnUNetv2_train 700 3d_fullres_attunet 0 -tr nnUNetTrainerLLDMAug
    """
    from nnunet_integration.architectures import NETWORKS, add_networks
    from nnunet_integration.target import Target

    for name in add_networks(Target.find(dataset, configuration, plans), names or tuple(NETWORKS)):
        click.echo(name)


def _show(preparation: Preparation, report: dict[str, Any]) -> None:
    for warning in report["warnings"]:
        click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {warning}", err=True)
    target, info = preparation.target, preparation.info
    plans = "" if target.plans.plans_name == "nnUNetPlans" else f" -p {target.plans.plans_name}"
    click.echo(f"compared with real cases: {preparation.prepared.report_path}")
    click.echo(
        f"train: nnUNetv2_train {target.name[7:10]} {target.configuration_name} {info.fold}"
        f" -tr nnUNetTrainerLLDMAug{plans}"
    )
