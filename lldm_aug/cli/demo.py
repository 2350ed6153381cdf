"""``lldm-aug demo``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lldm_aug.cli.echo import default_device
from lldm_aug.cli.options import NEW_FOLDER, dry_run_option


@click.command()
@click.option("--out", type=NEW_FOLDER, default=Path("lldm_aug_demo"), help="The demo's folder.")
@dry_run_option
def demo(out: Path, dry_run: bool) -> None:
    """Run the whole chain on the embedded generator, in minutes, on a CPU.

    Phantoms stand in for real cases; nnU-Net trains for a few iterations with a thin network. The scores show that the
    chain works; they say nothing about how much synthetic cases help. Run the same command again to continue after an
    interruption.
    """
    from lldm_aug.demo import Demo

    chain = Demo(out.resolve(), default_device())
    if dry_run:
        for step in chain.steps():
            click.echo(f"# {step.title}\n{shlex.join(step.command)}")
        return
    total = 0.0
    for step, seconds in chain.run():
        total += seconds
        click.echo(f"{seconds:6.1f} s  {step.title}\n          {click.style(shlex.join(step.command), dim=True)}")
    picture = chain.finish()
    synthetic, drawn = chain.synthetic_share()
    click.echo(f"{total:6.1f} s  in all; {synthetic} of {drawn} training samples were synthetic\n")
    _table(chain.scores())
    click.echo(f"\npicture: {picture}")


def _table(scores: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(scores.values())))
    click.echo("Dice of held-out phantoms" + "".join(f"{name:>14}" for name in names))
    for case_id, values in scores.items():
        click.echo(f"{case_id:25}" + "".join(f"{values[name]:14.3f}" for name in names))
