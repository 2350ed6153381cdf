"""``lldm-aug evaluate report``: one HTML page on pools, generators, training runs and evaluations."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.cli.options import EXISTING_FOLDER, FOLD


@click.command()
@click.argument("paths", nargs=-1, required=True, type=EXISTING_FOLDER)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The page, such as report.html."
)
@click.option("--title", default=None, help="Title of the page; the folders' names if left out.")
@click.option(
    "--pairs",
    type=click.IntRange(min=0),
    default=6,
    help="Number of pairs of each pool in the slice viewer, about 0.5 MB each.",
)
@click.option(
    "--data",
    metavar="DATASET",
    default=None,
    help="Data set whose validation cases are looked for among what generators and masks have seen.",
)
@click.option("--fold", type=FOLD, default="0", help="Fold of --data whose validation cases are looked for.")
def report(
    paths: tuple[Path, ...], out: Path, title: str | None, pairs: int, data: str | None, fold: int | str
) -> None:
    """Show pools, generators, training runs and evaluations in one HTML page that opens without a network.

    PATHS are folders with a pool.json, a generator's config.json, a run's stages, or a results.json, in any number and
    mixture. Beside the page a folder is written with all figures as JSON and CSV.

    \b
    Example:
      lldm-aug evaluate report runs/x pools/x reports/pool reports/utility --out report.html
    """
    from lldm_aug.cli.progress import track
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.report.chapters import chapter_on
    from lldm_aug.report.leaks import Asked
    from lldm_aug.report.page import write_report

    asked = Asked(pairs, None if data is None else RawDataset.find(data), fold)
    chapters = list(track((chapter_on(path, asked) for path in paths), "reading", len(paths)))
    figures = write_report(out, chapters, title or ", ".join(chapter.name for chapter in chapters))
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, opens without a network; figures in {figures}/")
