"""``lldm-aug bench``: what blending and inpainting cost in time."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.echo import default_device, echo_criteria
from lldm_aug.cli.options import EXISTING_FOLDER, FOLD, out_option, seed_option

if TYPE_CHECKING:
    from nnunet_integration.overhead import Overhead
    from nnunet_integration.target import Target


@click.group()
def bench() -> None:
    """Time blending and inpainting."""


@bench.command()
@click.option("-d", "--data", "dataset", metavar="DATASET", required=True, help="Data set: 700, or its whole name.")
@click.option(
    "-c",
    "--configuration",
    "configurations",
    multiple=True,
    default=["2d", "3d_fullres"],
    help="Configuration of the plans; may be repeated.",
)
@click.option("-p", "--plans", default="nnUNetPlans", help="Name of the plans.")
@click.option("-f", "--fold", type=FOLD, default="0", help="Fold that pools were prepared for.")
@click.option("--iterations", type=click.IntRange(min=8), default=60, help="Iterations of each trainer that are timed.")
@out_option
def blending(
    dataset: str, configurations: tuple[str, ...], plans: str, fold: int | str, iterations: int, out: Path
) -> None:
    """Measure what blending costs: nnU-Net's own trainer and the blended one train in turns, in one run.

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
        from nnunet_integration.overhead import FILE, compile_results
        from nnunet_integration.target import Target

        device = default_device()
        targets = {name: Target.find(dataset, name, plans) for name in configurations}
        measured = {name: _measure(target, fold, iterations, device) for name, target in targets.items()}
        name = next(iter(targets.values())).name
        judged = compile_results(name, fold, iterations, measured, describe_machine(device))
        write_text(out / FILE, judged.model_dump_json(indent=2) + "\n")
    echo_criteria(judged.criteria, out / FILE)


def _measure(target: Target, fold: int | str, iterations: int, device: str) -> Overhead:
    from lldm_aug.cli.progress import progress_bar
    from nnunet_integration.overhead import measure

    with progress_bar(target.configuration_name, total=iterations) as update, redirect_stdout(io.StringIO()):
        return measure(target, fold, iterations, device, update)  # without what nnU-Net says of each epoch


@bench.command()
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--n", type=click.IntRange(min=1), default=8, help="Number of phantoms to edit.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=2, help="Workers of the data loader; on a GPU there are none."
)
@out_option
@seed_option
def inpainting(model: Path | None, n: int, workers: int, out: Path, seed: int) -> None:
    """Measure the seconds that painting a lesion of 30 mm takes, by part, and the samples a second of a data loader.

    \b
    Example:
      lldm-aug bench inpainting --out reports/inpainting
    """
    from lldm_aug.evaluation.timed_inpainting import (
        FILE,
        compile_inpainting,
        phantom_hosts,
        samples_per_second,
        time_lesions,
    )
    from lldm_aug.io.atomic import write_text
    from lldm_aug.machine import describe_machine
    from lldm_aug.models.config_file import generator_folder
    from lldm_aug.models.generator import Generator
    from lldm_aug.resources import pretrained_dir

    device = default_device()
    workers = workers if device == "cpu" else 0
    generator = Generator.load(pretrained_dir() if model is None else generator_folder(model)).to(device)
    hosts = phantom_hosts(n, seed)
    timed = time_lesions(generator, hosts)
    rate = samples_per_second(generator, hosts, 2 * n, workers)
    results = compile_inpainting(generator, timed, rate, workers, describe_machine(device))
    write_text(out / FILE, results.model_dump_json(indent=2) + "\n")
    click.echo(f"{results.machine}; {len(timed)} lesions")
    for criterion in results.criteria:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in criterion.beside.items() if value is not None)
        value = "-" if criterion.value is None else f"{criterion.value:.3f}"
        click.echo(f"{criterion.figure}: {value} ({criterion.goal}) {parts}".rstrip())
    click.echo(out / FILE)
