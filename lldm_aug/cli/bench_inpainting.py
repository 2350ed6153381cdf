"""``lldm-aug bench inpainting``."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.cli.echo import default_device
from lldm_aug.cli.options import EXISTING_FOLDER, NEW_FOLDER, seed_option


@click.command()
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--n", type=click.IntRange(min=1), default=8, help="Phantoms to edit.")
@click.option("--workers", type=click.IntRange(min=0), default=2, help="Of the data loader; 0 on a GPU.")
@click.option("--out", type=NEW_FOLDER, required=True, help="The report's folder.")
@seed_option
def inpainting(model: Path | None, n: int, workers: int, out: Path, seed: int) -> None:
    """Measure how long a lesion of 30 mm takes in a phantom, by part, and how many samples a data loader gives.

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
