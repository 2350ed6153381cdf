"""``lldm-aug doctor``."""

from __future__ import annotations

import click

MARKS = {
    "ok": click.style("ok   ", fg="green"),
    "note": click.style("note ", fg="yellow"),
    "fault": click.style("FAULT", fg="red"),
}


@click.command()
def doctor() -> None:
    """Check this installation and say what is missing; exits with 1 when something has to be fixed."""
    from lldm_aug.doctor import examine

    faults = 0
    for finding in examine():
        advice = f" ({finding.advice})" if finding.advice else ""
        click.echo(f"{MARKS[finding.state]} {finding.what}: {finding.found}{advice}")
        faults += finding.state == "fault"
    if faults:
        raise click.exceptions.Exit(1)
