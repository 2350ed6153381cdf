"""``lldm-aug pool``: verify, show and merge pools."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lldm_aug.cli.options import EXISTING_FOLDER, NEW_FOLDER


@click.group()
def pool() -> None:
    """Verify, show or merge pools of synthetic cases."""


@pool.command()
@click.argument("pool", type=EXISTING_FOLDER)
def verify(pool: Path) -> None:
    """Check every file of POOL against its manifest."""
    from lldm_aug.pool.pool_dataset import verify_pool

    count = verify_pool(pool)
    click.echo(f"{pool}: {count} cases, every file as its manifest says")


@pool.command()
@click.argument("pool", type=EXISTING_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(pool: Path, *, as_json: bool) -> None:
    """Say what POOL holds and where it came from."""
    from lldm_aug.pool.summary import summarise
    from lldm_aug.report.data_table import heading, in_words

    summary = summarise(pool).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    width = max(map(len, summary))
    for name, value in summary.items():
        click.echo(f"{heading(name):{width}}  {in_words(value)}")


@pool.command()
@click.argument("out", type=NEW_FOLDER)
@click.argument("pools", nargs=-1, required=True, type=EXISTING_FOLDER)
def merge(out: Path, pools: tuple[Path, ...]) -> None:
    """Copy the cases of POOLS, all made by one generator, into a new pool OUT.

    Run the same command again to continue after an interruption.
    """
    from lldm_aug.cli.progress import track
    from lldm_aug.pool.manifest import read_cases
    from lldm_aug.pool.merge import merge_pools
    from lldm_aug.pool.rejected import read_rejected

    kept, rejected = (sum(len(read(source)) for source in pools) for read in (read_cases, read_rejected))
    copied = sum(1 for _ in track(merge_pools(out, pools), "merging", kept + rejected))
    also = f" and {rejected} rejected pairs" if rejected else ""
    click.echo(f"{out}: {kept} cases{also}, {copied} copied now")
