"""``lldm-aug phantom``."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.cli.options import NEW_FOLDER, dry_run_option, seed_option


@click.command()
@click.option("--n", "count", type=click.IntRange(min=1), default=24, help="Number of cases.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Folder of the data set, DatasetNNN_Name for nnU-Net.")
@seed_option
@click.option(
    "--shape", type=click.IntRange(16, 1024), nargs=3, default=(96, 96, 64), help="Number of voxels along X, Y and Z."
)
@click.option("--spacing", type=click.FloatRange(0.3, 20), nargs=3, default=(3.3, 2.7, 3.4), help="Voxel size in mm.")
@dry_run_option
def phantom(
    count: int,
    out: Path,
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    dry_run: bool,
) -> None:
    """Write a data set of digital liver phantoms in nnU-Net's raw layout.

    Run the same command again to continue after an interruption.

    \b
    Example:
      lldm-aug phantom --n 24 --out nnUNet_raw/Dataset700_HBPPhantom --seed 0
    """
    from lldm_aug.cli.progress import progress_bar
    from lldm_aug.geometry import Grid
    from lldm_aug.phantom.phantom_dataset import missing_cases, write_phantom_dataset

    grid = Grid.regular(shape, spacing)
    missing = len(missing_cases(out, count))
    if dry_run:
        extent = " x ".join(f"{n * s:g}" for n, s in zip(shape, spacing, strict=True))
        click.echo(f"{missing} of {count} phantoms to write to {out}: seed {seed}, {shape} voxels, {extent} mm")
        return
    with progress_bar("phantoms", total=count, done=count - missing) as update:
        write_phantom_dataset(out, count, seed, grid, progress=update)
    click.echo(f"{count} phantoms in {out}")
